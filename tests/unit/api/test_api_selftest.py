"""What the self-test says of an installation that works, and of each that does not."""

import asyncio
import io
import wave
from typing import Any

import pytest

from api.apiserver import Call
from api.doors import UnavailableError
from api.selftest import SOUND_KEY, Check, Installation, build_sound, run_checks
from tests.support.api_fakes import FakeUploads, some_settings

URL = "http://scribe-api:8080"
SUCCEEDED = {"status": {"state": "Succeeded"}}


class FakeServer:
    """Answers each POST with `made`, and each GET with the next of `seen`."""

    def __init__(self, *seen: dict[str, Any], made: int = 201) -> None:
        self.seen = list(seen)
        self.made = made
        self.calls: list[Call] = []

    async def call(self, call: Call) -> tuple[int, dict[str, Any]]:
        self.calls.append(call)
        if call.method == "POST":
            return self.made, {"message": "as it is"}
        return 200, self.seen.pop(0) if call.method == "GET" else {}


class World:
    """An installation of fakes; `answers` are those of HTTP, by method."""

    def __init__(self, *seen: dict[str, Any], made: int = 201, **answers: int) -> None:
        self.server = FakeServer(*seen, made=made)
        self.uploads = FakeUploads()
        self.answers = {"GET": 200, "PUT": 200} | answers
        self.pauses = 0
        self.lines: list[str] = []
        self.place = Installation(some_settings(), self.server, self.uploads, self.fetch, URL, self.pause)

    async def fetch(self, method: str, url: str, body: bytes | None) -> tuple[int, str]:
        status = self.answers[method]
        if not status:
            raise UnavailableError("was not answered")
        if method == "PUT" and status == 200 and body is not None:
            self.uploads.objects[url.partition("/media/")[2].partition("?")[0]] = body
        return status, ""

    async def pause(self) -> None:
        self.pauses += 1

    def run(self, check: Check) -> str:
        """The line of one check; the rest of it says what to do."""
        is_well = asyncio.run(run_checks({"it": check}, self.lines.append))
        assert is_well == self.lines[-1].startswith("ok")
        return self.lines[-1]


def test_each_check_says_so_when_all_is_well() -> None:
    world = World()
    assert world.run(world.place.check_api) == f"ok      it: {URL} is ready"
    assert "would be admitted in namespace transcription" in world.run(world.place.check_kubernetes)
    assert "one byte in bucket media" in world.run(world.place.check_s3)


def test_nothing_is_made_when_the_api_server_is_asked() -> None:
    world = World()
    world.run(world.place.check_kubernetes)
    (call,) = world.server.calls
    assert call.query["dryRun"] == "All"


def test_nothing_stays_in_the_bucket_when_a_byte_was_put() -> None:
    world = World()
    before = set(world.uploads.objects)
    world.run(world.place.check_s3)
    assert set(world.uploads.objects) == before


@pytest.mark.parametrize(
    ("status", "advice"), [(403, "Role"), (404, "crds.enabled"), (422, "upgrade"), (500, "readyz")]
)
def test_a_refused_transcription_says_what_to_do(status: int, advice: str) -> None:
    world = World(made=status)
    line = world.run(world.place.check_kubernetes)
    assert line.startswith(f"FAILED  it: the API server answered {status}")
    assert advice in line.partition("what to do: ")[2]


@pytest.mark.parametrize(
    ("status", "advice"), [(403, "s3:PutObject"), (404, "s3.bucket"), (301, "s3.region"), (500, "s3.endpoint")]
)
def test_a_refused_upload_says_what_to_do(status: int, advice: str) -> None:
    world = World(PUT=status)
    assert advice in world.run(world.place.check_s3).partition("what to do: ")[2]


@pytest.mark.parametrize("check", ["check_api", "check_s3"])
def test_what_does_not_answer_is_a_failure_and_no_traceback(check: str) -> None:
    world = World(GET=0, PUT=0)
    assert "NetworkPolicy" in world.run(getattr(world.place, check))


def test_an_api_that_is_not_ready_is_a_failure() -> None:
    world = World(GET=503)
    assert "answered 503" in world.run(world.place.check_api)


def test_a_byte_that_is_not_kept_is_a_failure() -> None:
    world = World()
    world.uploads.objects = _Forgetful()
    assert "is not there" in world.run(world.place.check_s3)


class _Forgetful(dict[str, bytes]):
    def __setitem__(self, key: str, value: bytes) -> None: ...


def test_a_job_is_waited_for_and_deleted_when_it_succeeds() -> None:
    world = World({}, {"status": {"state": "Running"}}, SUCCEEDED)
    assert "has been transcribed" in world.run(lambda: world.place.check_job(9))
    assert [call.method for call in world.server.calls] == ["POST", "GET", "GET", "GET", "DELETE"]
    assert world.pauses == 2
    spec = world.server.calls[0].body["spec"]
    assert spec["source"]["key"] == SOUND_KEY in world.uploads.objects
    assert spec["deleteOutputs"] is True


def test_a_job_is_left_to_be_looked_at_when_it_fails() -> None:
    world = World({"status": {"state": "Failed", "message": "no GPU"}})
    line = world.run(lambda: world.place.check_job(9))
    assert "is Failed: no GPU" in line
    assert "kubectl describe transcriptionjob selftest-" in line
    assert "DELETE" not in [call.method for call in world.server.calls]


def test_a_job_that_nobody_looks_at_is_a_failure_when_its_time_is_up() -> None:
    world = World({}, {}, {})
    assert "is Pending: nobody has looked at it" in world.run(lambda: world.place.check_job(3))


def test_every_check_is_made_when_an_earlier_one_fails() -> None:
    world = World(GET=503)
    checks = {"API": world.place.check_api, "S3": world.place.check_s3}
    assert asyncio.run(run_checks(checks, world.lines.append)) is False
    assert [line.split()[:2] for line in world.lines] == [["FAILED", "API:"], ["ok", "S3:"]]


def test_the_sound_is_one_second_long() -> None:
    with wave.open(io.BytesIO(build_sound())) as sound:
        assert sound.getnframes() == sound.getframerate()
