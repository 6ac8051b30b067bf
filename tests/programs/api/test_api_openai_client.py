"""The official openai package against the API as its own main starts it, over fake doors."""

import socket
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.live_api import LiveApi, serve
from tests.support.openai_fakes import SRT, VTT, EndingStore, a_failure, a_success, some_transcripts
from tests.support.raw_http import build_request, exchange
from tests.support.waiting import wait_for

WAV = ("speech.wav", b"RIFF" * 1000, "audio/wav")
PATH = "/v1/audio/transcriptions"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
MODEL_PART = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
FILE_HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
CAP = 10_000_000


@pytest.fixture(scope="module")
def shared_api() -> Iterator[LiveApi]:
    store = EndingStore(a_success())
    with serve(store, some_transcripts(), models="demo,large-v3", openai_wait_seconds=1, max_audio_bytes=CAP) as api:
        yield api


@pytest.fixture
def store(shared_api: LiveApi) -> EndingStore:
    """The store behind the API, as good as new: its jobs succeed at once."""
    store = shared_api.store
    assert isinstance(store, EndingStore)
    store.ends, store.tries = a_success(), 0
    store.specs.clear()
    return store


@pytest.fixture
def client(shared_api: LiveApi, store: EndingStore) -> Iterator[openai.OpenAI]:
    assert store.tries == 0
    with openai.OpenAI(base_url=f"{shared_api.url}/v1", api_key="wrong", max_retries=2, timeout=10) as client:
        yield client


def transcribe(client: openai.OpenAI, **options: Any) -> Any:
    return client.audio.transcriptions.create(**({"file": WAV, "model": "whisper-1"} | options))


def test_text_is_read_when_the_client_asks_for_nothing_else(client: openai.OpenAI) -> None:
    assert transcribe(client).text == "Good morning."


@pytest.mark.parametrize(("wanted", "body"), [("text", "Good morning.\n"), ("srt", SRT), ("vtt", VTT)])
def test_plain_text_is_read_when_a_text_format_is_asked_for(client: openai.OpenAI, wanted: str, body: str) -> None:
    assert transcribe(client, response_format=wanted) == body


@pytest.mark.parametrize(
    ("granularities", "segments", "words"),
    [(openai.omit, 1, None), (["segment"], 1, None), (["word"], None, 2), (["word", "segment"], 1, 2)],
)
def test_times_are_read_as_their_granularities_ask(
    client: openai.OpenAI, granularities: Any, segments: int | None, words: int | None
) -> None:
    answer = transcribe(client, response_format="verbose_json", timestamp_granularities=granularities)
    assert (answer.language, answer.duration, answer.text) == ("english", 1.5, "Good morning.")
    assert (answer.segments and len(answer.segments), answer.words and len(answer.words)) == (segments, words)
    assert words is None or (answer.words[0].word, answer.words[0].end) == ("Good", 0.6)
    assert segments is None or answer.segments[0].tokens == [50364, 2205, 2446, 13]


def test_options_reach_the_job_when_the_client_sends_all_of_them(client: openai.OpenAI, store: EndingStore) -> None:
    options = {"language": "ko", "prompt": "Ann", "temperature": 0.4, "stream": False, "chunking_strategy": "auto"}
    transcribe(client, model="large-v3", **options)
    (spec,) = store.specs.values()
    assert (spec.model, spec.language, spec.initial_prompt) == ("large-v3", "ko", "Ann")


def test_request_id_is_the_jobs(client: openai.OpenAI, store: EndingStore) -> None:
    raw = client.audio.transcriptions.with_raw_response.create(file=WAV, model="whisper-1")
    assert [raw.request_id] == list(store.specs)


def test_bad_request_is_raised_when_the_media_is_unreadable(client: openai.OpenAI, store: EndingStore) -> None:
    store.ends = a_failure("UnreadableMedia")
    with pytest.raises(openai.BadRequestError) as refused:
        transcribe(client)
    assert (refused.value.code, refused.value.type, store.tries) == ("UnreadableMedia", "invalid_request_error", 1)
    assert [refused.value.request_id] == list(store.specs)


def test_not_found_is_raised_when_the_model_is_unknown(client: openai.OpenAI, store: EndingStore) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        transcribe(client, model="gpt-4o-transcribe")
    assert (refused.value.code, refused.value.param, store.tries) == ("model_not_found", "model", 0)


def test_bad_request_is_raised_when_something_is_to_be_included(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        transcribe(client, include=["logprobs"])
    assert refused.value.param == "include"


def test_client_does_not_send_again_when_the_job_takes_long(client: openai.OpenAI, store: EndingStore) -> None:
    store.ends = None
    with pytest.raises(openai.InternalServerError) as refused:
        transcribe(client)
    (name,) = store.specs
    assert (refused.value.status_code, refused.value.code, store.tries) == (504, "timed_out", 1)
    assert f"/api/upload-video/status/{name}" in refused.value.message
    assert len(store.waiters) == 0


@pytest.mark.parametrize(
    ("ends", "error"),
    [({"state": "Cancelled"}, openai.ConflictError), (a_failure("WorkerFailed"), openai.InternalServerError)],
)
def test_client_does_not_send_again_when_the_job_ends_badly(
    client: openai.OpenAI, store: EndingStore, ends: dict[str, Any], error: type[openai.APIStatusError]
) -> None:
    store.ends = ends
    with pytest.raises(error):
        transcribe(client)
    assert store.tries == 1


def test_models_are_read(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed[:3] == ["demo", "large-v3", "whisper-1"]
    assert client.models.retrieve("demo").id == "demo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def test_job_goes_on_unwatched_when_the_client_leaves(shared_api: LiveApi, store: EndingStore) -> None:
    store.ends = None
    body = MODEL_PART + FILE_HEAD + b"RIFF\r\n--b--\r\n"
    with socket.create_connection(("127.0.0.1", shared_api.port)) as connection:
        connection.sendall(build_request("POST", PATH, MULTIPART, body))
        wait_for(lambda: len(store.waiters) == 1, 5, "the answer waits", every_seconds=0.01)
    wait_for(lambda: len(store.waiters) == 0, 0.9, "nobody waits any more", every_seconds=0.01)
    (name,) = store.specs
    assert store.rows.get(name)


def test_nothing_is_made_when_the_client_leaves_within_the_file(shared_api: LiveApi, store: EndingStore) -> None:
    headers = MULTIPART | {"Content-Length": "1000000"}
    reply = exchange(shared_api.port, build_request("POST", PATH, headers, MODEL_PART + FILE_HEAD), is_ended=True)
    assert reply.status in (0, 400)
    assert store.specs == {}


def test_case_17_large_body_is_refused_before_all_of_it_is_read(shared_api: LiveApi, store: EndingStore) -> None:
    chunk = b"%x\r\n%b\r\n" % (1_000_000, b"0" * 1_000_000)
    head = f"POST {PATH} HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n".encode()
    first = MODEL_PART + FILE_HEAD
    begin = head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n%x\r\n%b\r\n" % (len(first), first)
    reply = exchange(shared_api.port, begin, *[chunk] * 100)
    assert (reply.status, reply.is_closed, store.specs) == (413, True, {})
    assert reply.sent_bytes < 50_000_000


def test_case_18_announced_size_is_refused_at_once(shared_api: LiveApi) -> None:
    headers = MULTIPART | {"Content-Length": str(10 * 2**30)}
    reply = exchange(shared_api.port, build_request("POST", PATH, headers))
    assert (reply.status, reply.is_closed) == (413, True)
    assert reply.json["error"]["code"] == "body_too_large"


def test_case_23_ten_thousand_parts_are_refused(shared_api: LiveApi) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n'
    reply = exchange(shared_api.port, build_request("POST", PATH, MULTIPART, part * 10_000 + b"--b--\r\n"))
    assert reply.status == 400
    files = part.replace(b'name="x"', b'name="file"; filename="a"')
    reply = exchange(shared_api.port, build_request("POST", PATH, MULTIPART, files * 10_000 + b"--b--\r\n"))
    assert reply.status == 400
