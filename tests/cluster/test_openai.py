"""The official openai package against the dev cluster: real uploads, real workers, real words."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.cluster.conftest import API_URL
from tests.support.speech import Speech
from tests.support.transcriptions import Transcriptions
from tests.support.words import assert_same_words

WAIT_SECONDS = 270

Transcribe = Callable[..., Any]


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    """With a key that nobody handed out: the installation is open to everybody."""
    with openai.OpenAI(base_url=f"{API_URL}/v1", api_key="sk-wrong", timeout=WAIT_SECONDS) as client:
        yield client


def _note(made: Transcriptions, job_id: str | None) -> None:
    """Remember what the client made, so that it is cleared away."""
    assert job_id, "the answer names no job"
    made.names.append(job_id)
    made.keys.append(made.read(job_id).spec.source.key)


@pytest.fixture
def transcribe(client: openai.OpenAI, transcriptions: Transcriptions) -> Transcribe:
    def call(media: Path, **options: Any) -> Any:
        raw = client.audio.transcriptions.with_raw_response.create(file=media, model="whisper-1", **options)
        _note(transcriptions, raw.request_id)
        return raw.parse()

    return call


def test_the_words_come_back_when_a_wav_is_sent(transcribe: Transcribe, clip: Speech) -> None:
    assert_same_words(clip.text, transcribe(clip.wav).text)


def test_words_and_segments_come_back_with_their_times(transcribe: Transcribe, clip: Speech) -> None:
    options = {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
    answer = transcribe(clip.mp3, language="en", **options)
    assert answer.language == "english"
    assert answer.duration == pytest.approx(clip.seconds, abs=1)
    assert_same_words(clip.text, " ".join(segment.text for segment in answer.segments))
    assert_same_words(clip.text, " ".join(word.word for word in answer.words))
    starts = [word.start for word in answer.words]
    assert starts == sorted(starts)


@pytest.mark.parametrize(("wanted", "sign"), [("srt", "00:00:00,"), ("vtt", "WEBVTT"), ("text", "")])
def test_text_comes_back_from_a_video(transcribe: Transcribe, clip: Speech, wanted: str, sign: str) -> None:
    answer = transcribe(clip.mp4, response_format=wanted)
    assert sign in answer
    lines = [line for line in answer.splitlines() if "-->" not in line and line != "WEBVTT" and not line.isdecimal()]
    assert_same_words(clip.text, " ".join(lines))


def test_bad_request_is_raised_when_the_file_is_no_media(
    client: openai.OpenAI, transcriptions: Transcriptions, text_file: Path
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(file=text_file, model="whisper-1")
    _note(transcriptions, refused.value.request_id)
    assert refused.value.code == "UnsupportedMedia"
    assert refused.value.type == "invalid_request_error"


def test_not_found_is_raised_when_the_model_is_unknown(client: openai.OpenAI, clip: Speech) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.audio.transcriptions.create(file=clip.wav, model="gpt-4o-transcribe")
    assert refused.value.code == "model_not_found"
    assert refused.value.request_id is None


def test_installed_model_is_listed_first(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names[0] == "demo"
    assert client.models.retrieve("whisper-1").id == "whisper-1"
