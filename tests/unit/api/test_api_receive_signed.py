"""POST /result where a secret is set: who may send what; case numbers are those of the bad-input corpus."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest

from api import receive
from api.bodies import READ_SECONDS, THREAD_BYTES
from api.pace import Pace
from api.rates import FAILURES, build_rates
from api.row import Row
from crds.callback import sign
from crds.worker import build_callback_id
from tests.support.api_fakes import KEY, NOW, SECRET, Caller, FakeStore, FakeUploads, a_result, a_row, some_settings

PATH = "/api/upload-video/result"
PAYLOAD = {"job_id": "a", "result": {"text": "hello", "segments": [], "language": "en"}}
BODY = json.dumps(PAYLOAD).encode()
JSON = {"content-type": "application/json"}


def ended(name: str = "a", attempt: int = 1, **status: Any) -> Row:
    return a_row(name, status={"state": "Running", "attempt": attempt, "result": a_result()} | status)


def signed(message_id: str = "msg_uid-of-a_1", body: bytes = BODY, age_seconds: float = 0, secret: str = SECRET) -> Any:
    return JSON | sign([secret], message_id, NOW - timedelta(seconds=age_seconds), body)


@pytest.fixture
def guarded(client: Caller, store: FakeStore) -> Iterator[Caller]:
    """The app where callers have keys and callbacks are signed; the job `a` has ended its first attempt."""
    store.rows.see(ended())
    parts = client.app.state.parts
    settings = some_settings(callback_secret=SECRET, auth_mode="api-key", keys_file="/keys")
    client.app.state.parts = replace(parts, settings=settings, rates=build_rates(settings))
    yield client
    client.app.state.parts = parts


def post(client: Caller, headers: dict[str, str], body: bytes = BODY) -> tuple[int, str | None]:
    answer = client.post(PATH, content=body, headers=headers)
    return answer.status_code, answer.json().get("code")


def kept(uploads: FakeUploads) -> list[str]:
    return [key for key in uploads.objects if key != KEY]


def test_a_signed_callback_is_kept(guarded: Caller, uploads: FakeUploads) -> None:
    assert post(guarded, signed()) == (200, None)
    assert kept(uploads) == ["callbacks/transcription/a/uid-of-a/1.json"]


@pytest.mark.parametrize("signature", [None, "", "v1a,abc", "v2,abc v1a,abc"])
def test_case_119_a_callback_without_a_signature_that_we_know_is_refused(
    guarded: Caller, uploads: FakeUploads, signature: str | None
) -> None:
    headers = signed()
    del headers["webhook-signature"]
    headers |= {} if signature is None else {"webhook-signature": signature}
    assert post(guarded, headers) == (401, "invalid_signature")
    assert kept(uploads) == []


@pytest.mark.parametrize("credential", [{"authorization": "Bearer good"}, {"x-api-key": "good"}])
def test_case_44_a_callers_credential_is_none_here(
    guarded: Caller, uploads: FakeUploads, credential: dict[str, str]
) -> None:
    assert post(guarded, JSON | credential) == (403, "forbidden")
    assert kept(uploads) == []
    assert post(guarded, signed() | credential) == (200, None)


def test_a_callers_credential_changes_nothing_when_nobody_has_one(guarded: Caller) -> None:
    parts = guarded.app.state.parts
    guarded.app.state.parts = replace(parts, settings=some_settings(callback_secret=SECRET))
    assert post(guarded, JSON | {"authorization": "Basic eA=="}) == (401, "invalid_signature")


def test_case_120_a_body_that_was_written_anew_is_refused(guarded: Caller) -> None:
    assert post(guarded, signed(), json.dumps(PAYLOAD, indent=1).encode()) == (401, "invalid_signature")


@pytest.mark.parametrize("change", ["soon", "-5", "1e400", "", "99999999999999999999"])
def test_case_121_a_time_that_is_none_is_refused(guarded: Caller, change: str) -> None:
    assert post(guarded, signed() | {"webhook-timestamp": change}) == (401, "invalid_signature")


@pytest.mark.parametrize(("age", "status"), [(301, 401), (-301, 401), (300, 200), (-300, 200)])
def test_case_121_the_window_is_five_minutes(guarded: Caller, age: float, status: int) -> None:
    assert post(guarded, signed(age_seconds=age))[0] == status


@pytest.mark.parametrize(
    "message_id", ["msg_uid-of-b_1", "msg_uid-of-a_2", "msg_uid-of-a_01", "msg_uid-of-a_", "msg_uid-of-a_1_1", "other"]
)
def test_case_122_what_was_signed_for_another_job_is_refused(
    guarded: Caller, uploads: FakeUploads, message_id: str
) -> None:
    assert post(guarded, signed(message_id)) == (403, "forbidden")
    assert kept(uploads) == []


def test_case_123_a_replay_has_no_second_effect(guarded: Caller, uploads: FakeUploads) -> None:
    headers = signed()
    assert [post(guarded, headers) for _ in range(3)] == [(200, None)] * 3
    assert len(kept(uploads)) == 1


def test_case_124_a_replay_after_five_minutes_is_refused(guarded: Caller, uploads: FakeUploads) -> None:
    headers = signed()
    assert post(guarded, headers) == (200, None)
    before = dict(uploads.objects)
    state = guarded.app.state
    state.parts = replace(state.parts, now=lambda: NOW + timedelta(seconds=301))
    assert post(guarded, headers) == (401, "invalid_signature")
    assert uploads.objects == before


@pytest.mark.parametrize("message_id", ["msg_uid-of-a_1.1", "x" * 10_000])
def test_case_125_an_id_with_a_dot_or_too_long_is_refused(guarded: Caller, message_id: str) -> None:
    assert post(guarded, signed(message_id)) == (401, "invalid_signature")


def test_case_126_of_two_signatures_one_has_to_be_good(guarded: Caller) -> None:
    headers = signed()
    both = f"v1,{'A' * 43}= {headers['webhook-signature']}"
    assert post(guarded, headers | {"webhook-signature": both}) == (200, None)
    for times, status in ((6, 400), (500, 431)):
        assert post(guarded, headers | {"webhook-signature": " ".join([both] * times)})[0] == status


def test_case_127_a_signature_in_another_case_or_padding_is_refused(guarded: Caller) -> None:
    headers = signed()
    good = headers["webhook-signature"].removeprefix("v1,")
    for other in (good.swapcase(), good.rstrip("="), good + "="):
        assert post(guarded, headers | {"webhook-signature": f"v1,{other}"}) == (401, "invalid_signature")


def test_case_128_a_signed_callback_of_an_unknown_job_stores_nothing(guarded: Caller, uploads: FakeUploads) -> None:
    body = BODY.replace(b'"a"', b'"b"')
    assert post(guarded, signed(body=body), body) == (404, "job_not_found")
    assert kept(uploads) == []


def test_case_135_and_f61_an_earlier_attempt_after_a_later_one_is_refused(
    guarded: Caller, store: FakeStore, uploads: FakeUploads
) -> None:
    store.rows.see(ended(attempt=3))
    for attempt in (0, 1, 2):
        assert post(guarded, signed(f"msg_uid-of-a_{attempt}")) == (409, "result_conflict")
    assert kept(uploads) == []
    assert post(guarded, signed("msg_uid-of-a_3")) == (200, None)
    assert post(guarded, signed("msg_uid-of-a_4")) == (403, "forbidden")


@pytest.mark.parametrize("attempt", [0, 1, 7])
def test_what_the_controller_sends_of_any_attempt_is_taken(guarded: Caller, store: FakeStore, attempt: int) -> None:
    row = ended(attempt=attempt, state="Failed", result=None)
    store.rows.see(row)
    failed = {"code": "NoAudio", "message": "No audio.", "retryable": False}
    body = json.dumps({"job_id": "a", "status": "failed", "error": failed}).encode()
    assert post(guarded, signed(build_callback_id(row.uid, attempt), body), body) == (200, None)


def test_an_unsigned_body_is_not_read(guarded: Caller) -> None:
    assert post(guarded, {"content-type": "text/plain", "content-encoding": "gzip"}, b"{") == (401, "invalid_signature")


class Counted(asyncio.Semaphore):
    """Counts those who were let in."""

    taken = 0

    async def acquire(self) -> Literal[True]:
        self.taken += 1
        return await super().acquire()


class Trickle:
    """A body that comes in these pieces and then hangs; it knows how many have been read."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.pieces:
            yield self.pieces.pop(0)
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-signature": "v1,forged"},
        {"webhook-signature": f"v2,{'A' * 43}="},
        {"webhook-timestamp": "1"},
        {"webhook-timestamp": ""},
        {"webhook-id": ""},
    ],
)
def test_a_head_that_cannot_be_right_is_refused_before_any_of_the_body_is_read(
    guarded: Caller, change: dict[str, str]
) -> None:
    body = Trickle(BODY)
    answer = guarded.post(PATH, content=body, headers=signed() | change)
    assert (answer.status_code, answer.json()["code"], body.pieces) == (401, "invalid_signature", [BODY])


def test_those_who_trickle_hold_no_seats(guarded: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "PACE", Pace(idle_seconds=0.01))
    seats = Counted(1)
    guarded.app.state.parts = replace(guarded.app.state.parts, receiving=seats)
    begin = time.monotonic()
    answer = guarded.post(PATH, content=Trickle(b" " * THREAD_BYTES), headers=signed())
    assert (answer.status_code, answer.headers["connection"], seats.taken) == (408, "close", 0)
    assert guarded.post(PATH, content=Trickle(b" " * (THREAD_BYTES + 1)), headers=signed()).status_code == 408
    assert (seats.taken, seats.locked()) == (1, False)
    assert time.monotonic() - begin < READ_SECONDS / 2


def test_an_address_that_guesses_signatures_is_told_to_wait(guarded: Caller) -> None:
    forged = signed(secret="whsec_" + "A" * 32)
    answers = [post(guarded, forged) for _ in range(FAILURES + 1)]
    assert answers[-2:] == [(401, "invalid_signature"), (429, "rate_limited")]
    assert post(guarded, signed()) == (200, None)
