"""POST /v1/audio/transcriptions: from the form to the job, and from the job to the answer."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from api.seats import Seats
from crds.transcriptionjob import Spec
from tests.support.api_fakes import Caller, FakeUploads, some_settings
from tests.support.openai_fakes import SRT, VTT, EndingStore, a_failure, a_success, some_transcripts

PATH = "/v1/audio/transcriptions"
STATUS_PATH = "/api/upload-video/status"
WAV = ("speech.wav", b"RIFF", "audio/wav")


@pytest.fixture
def store() -> EndingStore:
    return EndingStore(a_success())


@pytest.fixture
def uploads() -> FakeUploads:
    return some_transcripts()


@pytest.fixture
def client(shared_client: Caller, store: EndingStore, uploads: FakeUploads) -> Iterator[Caller]:
    """The shared app over this test's own doors, and with settings that other tests do not see."""
    state = shared_client.app.state
    before = state.parts
    state.parts = replace(before, store=store, uploads=uploads)
    yield shared_client
    state.parts = before


def send(client: Caller, file: Any = WAV, **fields: Any) -> Any:
    return client.post(PATH, files={"file": file}, data={"model": "whisper-1"} | fields)


def set_up(client: Caller, **settings: Any) -> None:
    state = client.app.state
    state.parts = replace(state.parts, settings=some_settings(**settings))


def only_spec(store: EndingStore) -> Spec:
    (spec,) = store.specs.values()
    return spec


def test_file_becomes_a_job_of_its_own_upload(client: Caller, store: EndingStore, uploads: FakeUploads) -> None:
    answer = send(client, language="en", prompt="Names: Ann.")
    (name,) = store.specs
    assert (answer.status_code, answer.json()) == (200, {"text": "Good morning."})
    assert answer.headers["x-request-id"] == name
    spec = only_spec(store)
    assert (spec.model, spec.language, spec.initial_prompt, spec.formats) == (None, "en", "Names: Ann.", ("json",))
    assert not spec.word_timestamps
    assert spec.source.key.startswith("videos/anonymous/20250911_034548_")
    assert spec.source.key.endswith("_speech.wav")
    assert (uploads.objects[spec.source.key], uploads.types[spec.source.key]) == (b"RIFF", "audio/wav")


@pytest.mark.parametrize(("wanted", "body"), [("text", "Good morning.\n"), ("srt", SRT), ("vtt", VTT)])
def test_text_is_answered_when_text_is_asked_for(client: Caller, wanted: str, body: str) -> None:
    answer = send(client, response_format=wanted)
    assert (answer.text, answer.headers["content-type"]) == (body, "text/plain; charset=utf-8")


def test_segments_have_whispers_ten_fields_when_verbose(client: Caller) -> None:
    answer = send(client, response_format="verbose_json").json()
    (segment,) = answer.pop("segments")
    assert answer == {"task": "transcribe", "language": "english", "duration": 1.5, "text": "Good morning."}
    assert len(segment) == 10
    assert segment["text"] == " Good morning."


def test_words_replace_segments_when_only_they_are_asked_for(client: Caller, store: EndingStore) -> None:
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    answer = send(client, **fields).json()
    assert "segments" not in answer
    assert answer["words"][0] == {"word": "Good", "start": 0.0, "end": 0.6}
    assert only_spec(store).word_timestamps


def test_words_and_segments_are_answered_when_both_are_asked_for(client: Caller) -> None:
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
    answer = send(client, **fields).json()
    assert (len(answer["words"]), len(answer["segments"])) == (2, 1)


@pytest.mark.parametrize(
    ("named", "wanted"), [("whisper-1", None), ("demo", None), ("my-own", "my-own"), ("large-v3", "large-v3")]
)
def test_model_is_the_installations_when_it_is_the_default(
    client: Caller, store: EndingStore, named: str, wanted: str | None
) -> None:
    set_up(client, models="demo,my-own")
    assert send(client, model=named).status_code == 200
    assert only_spec(store).model == wanted


def test_end_of_the_prompt_is_kept_when_it_is_too_long(client: Caller, store: EndingStore) -> None:
    assert send(client, prompt="a" * 1000 + "b").status_code == 200
    prompt = only_spec(store).initial_prompt
    assert prompt == "a" * 895 + "b"


def test_fields_are_left_aside_when_empty_or_unknown(client: Caller, store: EndingStore) -> None:
    assert send(client, language="", response_format="", temperature="0.2", stream="true", novel="1").status_code == 200
    assert only_spec(store).language is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "xx"}, "language"),
        ({"language": "English"}, "language"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"temperature": "2"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"prompt": "a\x00b"}, "prompt"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities"),
        ({"response_format": "verbose_json", "timestamp_granularities[]": "letter"}, "timestamp_granularities"),
        ({"include[]": "logprobs"}, "include"),
        ({"model": ""}, "model"),
    ],
)
def test_field_is_named_when_it_is_wrong(client: Caller, fields: dict[str, str], param: str) -> None:
    answer = send(client, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert not any(text and text in error["message"] for text in ("xx", "English", "diarized", "nan", "logprobs"))


@pytest.mark.parametrize("name", ["gpt-4o-transcribe", "../../etc", "-rf"])
def test_model_is_not_found_when_nobody_knows_it(client: Caller, store: EndingStore, name: str) -> None:
    answer = send(client, model=name)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert not store.specs


@pytest.mark.parametrize(
    "files", [{}, {"other": WAV}, {"file": ("a.wav", b"", "audio/wav")}, {"file": (None, b"RIFF")}]
)
def test_file_is_asked_for_when_there_is_none(client: Caller, files: dict[str, Any]) -> None:
    answer = client.post(PATH, files={"model": (None, "whisper-1")} | files)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
    ],
)
def test_other_bodies_are_refused_when_no_form_comes(client: Caller, headers: dict[str, str]) -> None:
    answer = client.post(PATH, content=b"model=whisper-1", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_body")


@pytest.mark.parametrize("body", [b"", b"--b", b"no form", b"--b\r\nContent-Disposition: form-data\r\n\r\n1"])
def test_broken_form_is_refused(client: Caller, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post(PATH, content=body, headers=headers).status_code == 400
    assert client.post(PATH, content=body, headers={"Content-Type": "multipart/form-data"}).status_code == 400


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the parser leaves closing it to Python
def test_form_is_refused_when_it_ends_within_the_file(client: Caller, store: EndingStore) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'
    answer = client.post(PATH, content=head + file, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert (answer.status_code, store.specs) == (400, {})


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("UnreadableMedia", 400, "UnreadableMedia"),
        ("NoAudio", 400, "NoAudio"),
        ("ModelUnknown", 404, "model_not_found"),
        ("WorkerFailed", 500, "WorkerFailed"),
    ],
)
def test_failure_is_told_by_its_reason(client: Caller, store: EndingStore, reason: str, status: int, code: str) -> None:
    store.ends = a_failure(reason)
    answer = send(client)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], answer.headers["x-should-retry"]) == (status, code, "false")
    assert error["job_url"] == f"{STATUS_PATH}/{answer.headers['x-request-id']}"


def test_client_may_try_again_when_the_failure_is_retryable(client: Caller, store: EndingStore) -> None:
    store.ends = a_failure("StorageUnavailable", retryable=True)
    answer = send(client)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (500, "true")


def test_cancelled_job_is_a_conflict(client: Caller, store: EndingStore) -> None:
    store.ends = {"state": "Cancelled", "attempt": 1}
    answer = send(client)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "Cancelled")


def test_deleted_job_is_a_conflict(client: Caller, store: EndingStore) -> None:
    store.ends, store.on_create = None, store.forget
    answer = send(client)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "job_conflict")


def test_job_is_named_when_it_takes_longer_than_the_answer_waits(client: Caller, store: EndingStore) -> None:
    store.ends = None
    set_up(client, openai_wait_seconds=0.01)
    answer = send(client)
    (name,) = store.specs
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (504, "server_error", "timed_out")
    assert error["job_url"] == answer.headers["location"] == f"{STATUS_PATH}/{name}"
    assert error["job_url"] in error["message"]
    assert answer.headers["x-should-retry"] == "false"
    assert len(store.waiters) == 0


def test_job_is_named_when_the_api_stops(client: Caller, store: EndingStore) -> None:
    store.ends, store.on_create = None, lambda _: store.release()
    answer = send(client)
    assert (answer.status_code, answer.headers["x-should-retry"], answer.headers["retry-after"]) == (503, "false", "2")
    assert "job_url" in answer.json()["error"]


def test_transcript_is_gone_when_somebody_deleted_it(client: Caller, store: EndingStore) -> None:
    store.ends = a_success(key="transcripts/elsewhere.json")
    assert send(client).status_code == 410


def test_client_may_try_again_when_s3_is_down(client: Caller, store: EndingStore, uploads: FakeUploads) -> None:
    uploads.is_down = True
    answer = send(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "x-should-retry" not in answer.headers
    assert not store.specs


def test_upload_waits_outside_when_many_arrive_at_once(client: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.openai.audio.SEAT_SECONDS", 0.01)
    client.app.state.parts = replace(client.app.state.parts, uploading=Seats(0))
    answer = send(client)
    assert (answer.status_code, answer.headers["retry-after"], answer.headers["connection"]) == (429, "2", "close")
    assert "Retry-After" in answer.json()["error"]["message"]


def test_case_17_too_large_file_is_refused_while_it_arrives(client: Caller, store: EndingStore) -> None:
    set_up(client, max_audio_bytes=1000)
    answer = send(client, file=("a.wav", b"0" * 2000, "audio/wav"))
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert not store.specs


def test_case_23_ten_thousand_parts_are_refused(client: Caller) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post(PATH, content=part * 10_000 + b"--b--\r\n", headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")


HOSTILE_NAMES = [
    "../../etc/passwd",
    "..\\..\\x.mp3",
    "C:\\x.wav",
    "a\u202egpj.mp4",
    "a\u200bb.mp4",
    "-y.mp4",
    "concat:a|b",
    "%d.mp4",
    "$(id); rm.mp4",
    "<img onerror>.mp4",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_cases_51_to_53_and_60_to_66_hostile_name_never_reaches_the_key(
    client: Caller, store: EndingStore, name: str
) -> None:
    assert send(client, file=(name, b"RIFF")).status_code == 200
    key = only_spec(store).source.key
    assert all(char.isalnum() or char in "._-/" for char in key)
    assert key.count("/") == 2
    assert ".." not in key


@pytest.mark.parametrize("name", ["..", "   ", "a" * 2000])
def test_cases_56_and_57_impossible_name_is_refused(client: Caller, name: str) -> None:
    answer = send(client, file=(name, b"RIFF"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")


def post_named(client: Caller, name: bytes) -> Any:
    """A file whose name no client library would send so."""
    head = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    file = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\nRIFF\r\n--b--\r\n' % name
    return client.post(PATH, content=head + file, headers={"Content-Type": "multipart/form-data; boundary=b"})


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"a\x00b.wav", id="case_55_nul"),
        pytest.param(b"a" * 1_000_000, id="case_57_very_long"),
    ],
)
def test_name_is_refused_when_it_would_break_a_header(client: Caller, store: EndingStore, name: bytes) -> None:
    assert post_named(client, name).status_code == 400
    assert store.specs == {}


def test_case_54_header_behind_the_name_never_reaches_the_key(client: Caller, store: EndingStore) -> None:
    assert post_named(client, b"a\r\nX-Evil: 1.wav").status_code == 200
    assert only_spec(store).source.key.endswith("_a")


def test_nameless_file_is_called_audio(client: Caller, store: EndingStore, uploads: FakeUploads) -> None:
    assert post_named(client, b"").status_code == 200
    key = only_spec(store).source.key
    assert key.endswith("_audio")
    assert uploads.types[key] == "application/octet-stream"
