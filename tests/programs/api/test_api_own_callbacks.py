"""What the controller's outbox and the worker's courier send is what POST /result takes, over real sockets."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from api.row import parse_row
from controller.delivery import Report, build_record
from controller.outbox import Outbox
from controller.outcome import build_failure
from crds.addresses import Allowed
from crds.reasons import Reason
from crds.transcriptionjob import State, Status, Transcription
from crds.worker import build_callback_id
from tests.support import controller_fakes, worker_fakes
from tests.support.api_fakes import KEY, SECRET, FakeStore, FakeUploads, a_manifest
from tests.support.live_api import LiveApi, serve
from worker.deliver import Courier

PATH = "/api/upload-video/result"
NAME, UID = "clip", controller_fakes.UID
WORD = {"word": " Hello", "start": 0.0, "end": 0.42, "probability": 0.98}
SEGMENT = worker_fakes.a_transcript()["segments"][0] | {"seek": 0, "tokens": [50364], "words": [WORD]}
TRANSCRIPT = worker_fakes.a_transcript() | {"segments": [SEGMENT]}


class FakeResults:
    async def read(self, _: Any) -> bytes:
        return b'{"text": " Hello", "segments": [{"start": 0.0, "end": 2.5, "text": " Hello"}], "language": "en"}'


def read_clock() -> datetime:
    return datetime.now(UTC)


def send(status: Status, url: str) -> Report:
    """One try of the controller; the URL is the installation's own."""

    async def play() -> Report:
        settings = controller_fakes.some_settings(callback_url=url, callback_secret=SECRET)
        results: Any = FakeResults()
        outbox = Outbox(settings, results, read_clock)
        try:
            return await outbox.send(controller_fakes.a_transcription(status))
        finally:
            await outbox.close()

    return asyncio.run(play())


def show(api: LiveApi, status: Status, version: int) -> None:
    manifest = a_manifest(NAME, version, status.to_manifest())
    manifest["metadata"]["uid"] = UID
    assert isinstance(Transcription.parse(manifest).status, Status)
    api.store.rows.see(parse_row(manifest))


def kept(api: LiveApi) -> set[str]:
    return {key.rpartition("/")[2] for key in api.uploads.objects if key != KEY}


def ended(state: State, attempt: int, **changes: Any) -> Status:
    record = build_record(build_callback_id(UID, attempt), controller_fakes.NOW)
    return controller_fakes.final(state, callback=record, **changes).model_copy(update={"attempt": attempt})


@pytest.mark.parametrize(
    "end",
    [
        ended(State.SUCCEEDED, 1, result=controller_fakes.RESULT),
        ended(State.FAILED, 1, failure=build_failure(Reason.NO_AUDIO)),
        ended(State.CANCELLED, 0),
    ],
)
def test_the_controllers_callback_is_taken_however_it_ended(end: Status) -> None:
    with serve(FakeStore(), FakeUploads(), callback_secret=SECRET) as api:
        show(api, end, 1)
        assert [send(end, api.url + PATH).status_code for _ in range(2)] == [200, 200]
        assert kept(api) == {f"{end.attempt}.json"}


def test_the_controllers_callback_is_taken_again_after_a_retry() -> None:
    first = ended(State.FAILED, 1, failure=build_failure(Reason.NO_AUDIO))
    second = ended(State.SUCCEEDED, 2, result=controller_fakes.RESULT)
    with serve(FakeStore(), FakeUploads(), callback_secret=SECRET) as api:
        show(api, first, 1)
        assert send(first, api.url + PATH).status_code == 200
        show(api, second, 2)
        assert send(first, api.url + PATH).status_code == 409
        assert send(second, api.url + PATH).status_code == 200
        assert kept(api) == {"1.json", "2.json"}


def test_the_workers_callback_is_taken() -> None:
    running = Status(state=State.RUNNING, attempt=3, result=controller_fakes.RESULT)
    with serve(FakeStore(), FakeUploads(), callback_secret=SECRET) as api:
        show(api, running, 1)
        target = worker_fakes.a_target(3).model_copy(update={"name": NAME, "uid": UID})
        task = worker_fakes.a_task(target=target, callback_url=api.url + PATH, callback_id=build_callback_id(UID, 3))
        courier = Courier(task, [SECRET], read_clock, Allowed.parse(["127.0.0.1"]))
        assert [courier.deliver(TRANSCRIPT) for _ in range(2)] == [200, 200]
        assert kept(api) == {"3.json"}
