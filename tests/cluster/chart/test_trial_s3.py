"""The S3 server that the chart brings for trials: everything works when nothing but its keys is given."""

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.support.helm import CHART, RELEASE, Release, open_trial
from tests.support.kubectl import Kubectl
from tests.support.service import Service
from tests.support.speech import Speech
from tests.support.words import assert_same_words

FRONT_END = "https://front.example.org"


@pytest.fixture
def trial(kubectl: Kubectl) -> Iterator[Release]:
    with open_trial(kubectl, "trial") as release:
        yield release


def assert_lets_in(answer: httpx.Response) -> None:
    """As a browser reads it."""
    assert answer.is_success, f"{answer.status_code} {answer.text}"
    assert answer.headers["access-control-allow-origin"] in ("*", FRONT_END)


def put_as_a_browser(url: str, way: str, body: bytes, content_type: str) -> None:
    """Ask first and send then, to the host that is signed; `way` leads there from outside the cluster."""
    host = httpx.URL(url).netloc.decode()
    here = url.replace(f"http://{host}", way)
    common = {"Host": host, "Origin": FRONT_END}
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    preflight = httpx.options(here, headers=common | asked)
    assert_lets_in(preflight)
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "content-type" in preflight.headers["access-control-allow-headers"].lower()
    assert_lets_in(httpx.put(here, content=body, headers=common | {"Content-Type": content_type}))


@pytest.mark.soak
def test_a_browsers_upload_becomes_a_transcript_when_only_keys_are_given(trial: Release, clip: Speech) -> None:
    notes = trial.install(CHART)
    assert "trialS3 keeps all files in its pod" in notes
    assert "set s3.publicEndpoint" in notes
    assert "ok      S3: signed PUT, GET and DELETE" in trial.test()
    place = trial.kubectl
    with place.forward(f"service/{RELEASE}-api", 8080) as api, place.forward(f"service/{RELEASE}-s3", 9000) as s3:
        service = Service(api)
        try:
            ticket = service.generate_url("clip.wav", "audio/wav")
            put_as_a_browser(ticket["upload_url"], s3, clip.wav.read_bytes(), "audio/wav")
            job = service.request_process(ticket["video_url"])
            assert service.wait_until_final(job, 120)[-1]["status"] == "completed"
            assert_same_words(clip.text, service.result(job)["text"])
        finally:
            service.close()
