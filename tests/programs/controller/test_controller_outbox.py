import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from controller import outbox as door
from controller.delivery import Report, advance, build_record, plan
from controller.errors import DeniedError, MissingError, RefusedError, TransientError
from controller.outbox import Outbox
from controller.outcome import build_failure
from controller.settings import ControllerSettings
from crds.reasons import Reason
from crds.transcriptionjob import CallbackRecord, CallbackState, Result, State, Status, Transcription
from tests.support.controller_fakes import NOW, RESULT, SECRET, UID, Clock, a_transcription, final, some_settings
from tests.support.loopback import Answer, Loopback

ID = f"msg_{UID}_1"
ROW = build_record(ID, NOW)
FAILED = final(State.FAILED, failure=build_failure(Reason.NO_AUDIO), callback=ROW)
CANCELLED = final(State.CANCELLED, callback=ROW)
SUCCEEDED = final(State.SUCCEEDED, result=RESULT, callback=ROW)


TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class FakeResults:
    def __init__(self, outcome: dict[str, Any] | Exception) -> None:
        self._outcome = outcome

    async def read(self, result: Result) -> bytes:
        assert result == RESULT
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return json.dumps(self._outcome, ensure_ascii=False).encode()


def build_outbox(settings: ControllerSettings, transcript: dict[str, Any] | Exception | None = None) -> Outbox:
    results: Any = FakeResults(transcript or {})
    return Outbox(settings, results, Clock(), verify=TLS)


def send(
    status: Status, *answers: Answer, results: Any = None, secret: str | None = SECRET, path: str = "/hook", **spec: Any
) -> tuple[Report, Loopback]:
    async def scene() -> tuple[Report, Loopback]:
        async with Loopback(*answers) as server:
            settings = some_settings(callback_url=server.url + path, callback_secret=secret)
            outbox = build_outbox(settings, results or {"text": "hello"})
            report = await outbox.send(a_transcription(status, **spec))
            await outbox.close()
            return report, server

    return asyncio.run(scene())


def test_failed_one_is_told_with_code_message_and_retryable() -> None:
    report, server = send(FAILED, metadata={"order": "7"})
    assert report == Report(ID, NOW, 200)
    assert server.requests[0].json == {
        "job_id": "clip",
        "status": "failed",
        "error": {
            "code": "NoAudio",
            "message": "The file has no audio track: upload one with sound and send a new request.",
            "retryable": False,
        },
        "metadata": {"order": "7"},
    }


def test_cancelled_one_is_told_as_cancelled() -> None:
    _, server = send(CANCELLED)
    body = server.requests[0].json
    assert (body["status"], body["error"]["code"]) == ("cancelled", "Cancelled")


def test_completed_one_carries_the_transcript() -> None:
    _, server = send(SUCCEEDED, results={"text": "안녕", "segments": [], "language": "ko"})
    body = server.requests[0].json
    assert body == {
        "job_id": "clip",
        "status": "completed",
        "result": {"text": "안녕", "segments": [], "language": "ko"},
    }


def test_own_url_is_called_when_the_request_names_one() -> None:
    async def scene() -> list[str]:
        async with Loopback() as server:
            settings = some_settings(callback_url="http://127.0.0.1:9/no", callback_allowed_hosts="127.0.0.1")
            outbox = build_outbox(settings)
            await outbox.send(a_transcription(FAILED, callback={"url": f"{server.url}/mine?a=1"}))
            await outbox.close()
            return [request.path for request in server.requests]

    assert asyncio.run(scene()) == ["/mine?a=1"]


def test_signature_verifies_with_the_standard_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Webhook, "_Webhook__verify_timestamp", lambda _self, _stamp: NOW)
    _, server = send(FAILED)
    request = server.requests[0]
    assert Webhook(SECRET).verify(request.body, request.headers)["job_id"] == "clip"
    assert request.headers["webhook-id"] == ID
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))


def test_id_is_sent_without_a_signature_when_there_is_no_secret() -> None:
    _, server = send(FAILED, secret=None)
    headers = server.requests[0].headers
    assert headers["webhook-id"] == ID
    assert "webhook-signature" not in headers


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirect_is_not_followed(code: int) -> None:
    report, server = send(FAILED, Answer(code, headers={"Location": "/elsewhere"}))
    assert report.status_code == code
    assert not report.is_success
    assert [request.path for request in server.requests] == ["/hook"]


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("120", timedelta(seconds=120)),
        ("Fri, 02 Jan 2026 03:05:05 GMT", timedelta(seconds=60)),
        ("Fri, 02 Jan 2026 03:00:05 GMT", timedelta()),
        ("soon", None),
        ("-5", None),
        ("٣", None),
    ],
)
def test_retry_after_is_read(text: str, pause: timedelta | None) -> None:
    report, _ = send(FAILED, Answer(503, headers={"Retry-After": text.encode().decode("latin-1")}))
    assert report == Report(ID, NOW, 503, pause)


def test_answer_is_read_only_up_to_the_cap() -> None:
    report, _ = send(FAILED, Answer(200, b"x" * (door.MAX_RESPONSE_BYTES * 20)))
    assert report.is_success


def test_try_has_no_status_code_when_nobody_listens() -> None:
    async def scene() -> Report:
        settings = some_settings(callback_url="http://127.0.0.1:9/none")
        outbox = build_outbox(settings)
        report = await outbox.send(a_transcription(FAILED))
        await outbox.close()
        return report

    assert asyncio.run(scene()) == Report(ID, NOW)


def test_try_has_no_status_code_when_the_url_is_nonsense() -> None:
    report, _ = send(FAILED, callback={"url": "http://[nonsense"})
    assert report == Report(ID, NOW)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/x", "http://127.0.0.1:-1/x", "http://a\u0000b/", "http://" + "a" * 300 + "/x"]
)
def test_try_has_no_status_code_when_the_url_cannot_be_called(url: str) -> None:
    report, _ = send(FAILED, callback={"url": url})
    assert report == Report(ID, NOW)


@pytest.mark.parametrize("error", [httpx2.ReadError("x"), TimeoutError("x"), UnicodeError("x")])
def test_try_has_no_status_code_and_makes_no_noise_when_the_receiver_is_at_fault(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door.httpx2.AsyncClient, "stream", raising(error))
    report, _ = send(FAILED)
    assert report == Report(ID, NOW)
    assert caplog.records == []


@pytest.mark.parametrize("error", [ExceptionGroup("all", [OSError("x")]), RuntimeError("x"), AttributeError("x")])
def test_try_is_counted_and_the_fault_is_logged_when_it_is_ours(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door.httpx2.AsyncClient, "stream", raising(error))
    report, _ = send(FAILED)
    assert report == Report(ID, NOW)
    (line,) = caplog.records
    assert (line.levelname, line.message, vars(line)["transcription"]) == ("ERROR", "callback broke down", "ns/clip")
    assert line.exc_info is not None
    assert line.exc_info[1] is error


def raising(error: Exception) -> Callable[..., None]:
    def break_down(*_: object, **__: object) -> None:
        raise error

    return break_down


def test_try_ends_when_the_receiver_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "TRY_SECONDS", 0.05)
    report, _ = send(FAILED, Answer(hangs=True))
    assert report == Report(ID, NOW)


@pytest.mark.parametrize("error", [MissingError("gone"), RefusedError("too large")])
def test_try_is_hopeless_when_the_transcript_cannot_be_sent(error: Exception) -> None:
    report, server = send(SUCCEEDED, results=error)
    assert report.is_hopeless
    assert server.requests == []


def test_try_is_counted_when_s3_denies_the_transcript() -> None:
    report, server = send(SUCCEEDED, results=DeniedError("403"))
    assert report == Report(ID, NOW)
    assert server.requests == []


def test_completed_one_carries_the_stored_bytes_and_the_metadata() -> None:
    _, server = send(SUCCEEDED, results={"text": "}"}, metadata={"a": '{"result":{}}'})
    assert server.requests[0].body.endswith(b',"result":{"text": "}"}}')
    assert server.requests[0].json["metadata"] == {"a": '{"result":{}}'}


def test_no_try_is_counted_when_s3_is_away() -> None:
    with pytest.raises(TransientError):
        send(SUCCEEDED, results=TransientError("away"))


SCHEDULE = (5, 60)


def a_report(code: int | None = None, **changes: Any) -> Report:
    return Report(ID, NOW, code, **changes)


def row(**changes: Any) -> CallbackRecord:
    return CallbackRecord(state=CallbackState.PENDING, id=ID).model_copy(update=changes)


ADVANCES = [
    (row(), a_report(200), CallbackState.DELIVERED, None),
    (row(attempts=9), a_report(299), CallbackState.DELIVERED, None),
    (row(), a_report(500), CallbackState.PENDING, 5),
    (row(), a_report(), CallbackState.PENDING, 5),
    (row(), a_report(302), CallbackState.PENDING, 5),
    (row(), a_report(404), CallbackState.PENDING, 5),
    (row(attempts=1), a_report(500), CallbackState.PENDING, 60),
    (row(attempts=2), a_report(500), CallbackState.FAILED, None),
    (row(), a_report(410), CallbackState.FAILED, None),
    (row(), a_report(is_hopeless=True), CallbackState.FAILED, None),
    (row(), a_report(503, retry_after=timedelta(seconds=30)), CallbackState.PENDING, 30),
    (row(), a_report(503, retry_after=timedelta(seconds=1)), CallbackState.PENDING, 5),
    (row(), a_report(503, retry_after=timedelta(days=9)), CallbackState.PENDING, 86400),
]


@pytest.mark.parametrize(("before", "report", "state", "seconds"), ADVANCES)
def test_row_is_this_after_a_try(
    before: CallbackRecord, report: Report, state: CallbackState, seconds: int | None
) -> None:
    after = advance(before, report, SCHEDULE)
    assert (after.state, after.attempts, after.last_status_code) == (state, before.attempts + 1, report.status_code)
    assert after.next_attempt_time == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_row_is_due_at_once_when_the_worker_made_no_try() -> None:
    assert plan(row(), SCHEDULE, NOW).next_attempt_time == NOW


def test_row_waits_from_the_workers_try_when_that_failed() -> None:
    earlier = NOW - timedelta(seconds=2)
    assert plan(row(attempts=1, last_attempt_time=earlier), SCHEDULE, NOW).next_attempt_time == NOW + timedelta(
        seconds=3
    )


def test_row_is_left_alone_when_it_is_planned_or_closed() -> None:
    for record in (ROW, row(state=CallbackState.DELIVERED), row(state=CallbackState.FAILED)):
        assert plan(record, SCHEDULE, NOW + timedelta(hours=1)) == record


def test_delivery_goes_on_where_it_was_when_read_back_from_the_cluster() -> None:
    after = advance(row(), a_report(500), SCHEDULE)
    assert isinstance(a_transcription(), Transcription)
    assert CallbackRecord.model_validate(after.to_manifest()) == after
