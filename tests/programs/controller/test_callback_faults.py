"""F52 to F58 and F62: receivers that are slow, lost, lying or unproven, on sockets of this machine."""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from controller import outbox as door
from controller.delivery import Report, build_record
from controller.outbox import Outbox
from controller.outcome import build_failure
from controller.results import Results
from crds.reasons import Reason
from crds.transcriptionjob import State
from tests.support.certificates import a_certificate
from tests.support.controller_fakes import NOW, SECRET, UID, a_transcription, final, some_settings
from tests.support.loopback import Answer, Loopback

ID = f"msg_{UID}_1"
OLD_SECRET = "whsec_" + "b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9sZC1zZWNyZXQ="
FAILED = final(State.FAILED, failure=build_failure(Reason.NO_AUDIO), callback=build_record(ID, NOW))
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOCAL = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


async def to_loopback(*_: object) -> list[str]:
    return ["127.0.0.1"]


async def send(url: str, verify: ssl.SSLContext = LOCAL, resolve: Any = to_loopback, **settings: Any) -> Report:
    nothing: Any = None
    results: Results = nothing
    chosen = some_settings(callback_allowed_hosts="127.0.0.0/8", **settings)
    outbox = Outbox(chosen, results, lambda: datetime.now(UTC), verify=verify, resolve=resolve)
    try:
        return await outbox.send(a_transcription(FAILED, callback={"url": url}))
    finally:
        await outbox.close()


def try_once(serve: Serve, scheme: str = "http", tls: ssl.SSLContext | None = None, **options: Any) -> Report:
    """One try at a receiver on this machine, which comes to its end too."""
    serving: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):  # the caller hung up
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(run(reader, writer)))

    async def scene() -> Report:
        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        async with server:
            port = server.sockets[0].getsockname()[1]
            report = await send(f"{scheme}://hooks.example:{port}/hook", **options)
            await asyncio.gather(*serving)
        return report

    return asyncio.run(scene())


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)


@pytest.mark.parametrize("kind", ["nothing", "byte by byte"])
def test_f52_a_try_ends_in_time_when_the_answer_trickles(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "TRY_SECONDS", 0.3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if kind == "byte by byte":
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        await reader.read()  # until the caller hangs up

    report = try_once(serve)
    assert report.status_code is None


def test_f53_the_same_id_comes_again_when_the_answer_was_lost_after_the_effect() -> None:
    applied: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        applied.append(head.lower().partition(b"webhook-id: ")[2].partition(b"\r\n")[0])

    assert [try_once(serve).status_code for _ in range(2)] == [None, None]
    assert len(applied) == 2
    assert set(applied) == {ID.encode()}


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_f54_a_redirect_is_a_failure_and_its_target_is_never_touched(code: int) -> None:
    async def scene() -> tuple[Report, int, int]:
        async with Loopback() as recorder, Loopback(Answer(code, headers={"Location": recorder.url})) as server:
            report = await send(server.url)
            return report, len(server.requests), len(recorder.requests)

    report, asked, redirected = asyncio.run(scene())
    assert (report.status_code, report.is_success, asked, redirected) == (code, False, 1, 0)


def test_f55_the_judged_address_is_called_when_the_name_says_another_a_moment_later() -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def lying(*_: object) -> list[str]:
        return answers.pop(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 204 OK\r\n\r\n")

    assert try_once(serve, resolve=lying).status_code == 204
    assert answers == [["169.254.169.254"]]


@pytest.mark.parametrize("bad", ["169.254.169.254", "10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "100.64.0.1"])
def test_f56_nobody_is_called_when_one_address_of_the_name_is_forbidden(bad: str) -> None:
    called: list[bool] = []

    async def serve(*_: object) -> None:
        called.append(True)

    async def mixed(*_: object) -> list[str]:
        return ["127.0.0.1", bad]

    assert try_once(serve, resolve=mixed).status_code is None
    assert called == []


@pytest.mark.parametrize("body", [gzip.compress(b"0" * 50_000_000), b"x" * 5_000_000], ids=["gzip bomb", "endless"])
def test_f57_an_answer_is_read_to_its_cap_and_never_inflated(body: bytes) -> None:
    taken = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100000000000\r\n\r\n")
        while taken < 50_000_000:
            writer.write(body)
            await writer.drain()
            taken += len(body)

    assert try_once(serve).status_code == 200
    assert taken < 50_000_000


@pytest.mark.parametrize("fault", ["expired", "wrong name", "self-signed"])
def test_f58_nobody_is_told_when_tls_proves_nothing(fault: str, tmp_path: Path) -> None:
    told: list[bytes] = []
    days = (-2, -1) if fault == "expired" else (-1, 1)
    ours, theirs = a_certificate(tmp_path, "b.example" if fault == "wrong name" else "hooks.example", *days)
    trusted = ssl.create_default_context() if fault == "self-signed" else theirs

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        told.append(await reader.read())

    assert try_once(serve, "https", ours, verify=trusted).status_code is None
    assert told in ([], [b""])


def test_f58_the_receiver_is_told_when_tls_proves_it(tmp_path: Path) -> None:
    ours, theirs = a_certificate(tmp_path, "hooks.example", -1, 1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 204 OK\r\n\r\n")

    assert try_once(serve, "https", ours, verify=theirs).status_code == 204


def test_f62_old_and_new_secret_verify_when_they_change_between_two_tries() -> None:
    async def scene() -> list[tuple[bytes, dict[str, str]]]:
        async with Loopback(Answer(503), Answer(204)) as server:
            await send(server.url, callback_secret=OLD_SECRET)
            await send(server.url, callback_secret=SECRET, callback_previous_secret=OLD_SECRET)
            return [(request.body, request.headers) for request in server.requests]

    before, after = asyncio.run(scene())
    assert before[0] == after[0]
    assert before[1]["webhook-id"] == after[1]["webhook-id"] == ID
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(*after)["job_id"] == "clip"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(*before)
    assert Webhook(OLD_SECRET).verify(*before)["job_id"] == "clip"
