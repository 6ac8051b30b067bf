"""Callbacks that would lead inside, against real sockets; case numbers are those of the bad-input corpus."""

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from controller import outbox as door
from controller.delivery import Report, build_record
from controller.outbox import Outbox
from controller.outcome import build_failure
from crds.reasons import Reason
from crds.transcriptionjob import State
from tests.support.certificates import a_certificate
from tests.support.controller_fakes import NOW, UID, Clock, a_transcription, final, some_settings
from tests.support.loopback import Answer, Loopback

ID = f"msg_{UID}_1"
FAILED = final(State.FAILED, failure=build_failure(Reason.NO_AUDIO), callback=build_record(ID, NOW))
NO_ANSWER = Report(ID, NOW)
ANY_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Names:
    """A resolver that answers from a list, the last for ever, and keeps what it was asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        assert port > 0
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def call(
    *urls: str, resolve: door.Resolve = door.resolve, verify: ssl.SSLContext = ANY_TLS, **settings: Any
) -> list[Report]:
    results: Any = None
    outbox = Outbox(some_settings(**settings), results, Clock(), verify, resolve)
    reports = [await outbox.send(a_transcription(FAILED, callback={"url": url})) for url in urls]
    await outbox.close()
    return reports


def with_server(
    scene: Callable[[Loopback], Awaitable[list[Report]]], *answers: Answer
) -> tuple[list[Report], Loopback]:
    async def play() -> tuple[list[Report], Loopback]:
        async with Loopback(*answers) as server:
            return await scene(server), server

    return asyncio.run(play())


def port_of(server: Loopback) -> str:
    return server.url.rpartition(":")[2]


SPELLINGS = {
    92: ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "①②⑦.⓪.⓪.①"],
    93: ["[::ffff:127.0.0.1]", "[::ffff:7f00:1]"],
    95: ["[::1]", "[::]"],
    97: ["127.0.0.1", "0", "0.0.0.0", "localhost", "localhost."],
    100: ["good@127.0.0.1", "good:pw@127.0.0.1"],
}


@pytest.mark.parametrize(("case", "host"), [(case, host) for case, hosts in SPELLINGS.items() for host in hosts])
def test_cases_92_to_100_the_receiver_inside_is_not_called(case: int, host: str) -> None:
    reports, server = with_server(lambda server: call(f"http://{host}:{port_of(server)}/hook"))
    assert (case, reports, server.requests) == (case, [NO_ANSWER], [])


@pytest.mark.parametrize("path", ["/", "/hook"])
def test_case_101_a_fragment_hides_no_host(path: str) -> None:
    reports, server = with_server(
        lambda server: call(f"http://127.0.0.1:{port_of(server)}#@good.example{path}"),
    )
    assert (reports, server.requests) == ([NO_ANSWER], [])


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (["169.254.169.254"], "metadata"),
        (["93.184.215.14", "::1"], "loopback"),
        (["::1", "93.184.215.14"], "loopback"),
        pytest.param(["10.96.0.1"], "private", id="case_105_an_alias_of_a_service"),
        (["64:ff9b::a9fe:a9fe"], "metadata"),
        (["93.184.215.14"], "port"),
    ],
)
def test_cases_98_to_105_the_address_decides_whatever_the_name_is(
    addresses: list[str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = 8080 if reason == "port" else 80
    assert asyncio.run(call(f"http://hooks.example:{port}/", resolve=Names(addresses))) == [NO_ANSWER]
    (line,) = caplog.records
    assert (line.levelname, line.message, vars(line)["reason"]) == ("WARNING", "callback refused", reason)
    assert vars(line)["transcription"] == "ns/clip"


def test_case_103_a_name_is_resolved_once_and_called_where_it_was_judged() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    reports, server = with_server(
        lambda server: call(
            f"http://Hooks.example:{port_of(server)}/a%20b?c=%2F", resolve=names, callback_allowed_hosts="127.0.0.0/8"
        )
    )
    assert reports == [Report(ID, NOW, 200)]
    assert names.asked == ["hooks.example"]
    (request,) = server.requests
    assert (request.path, request.headers["host"]) == ("/a%20b?c=%2F", f"hooks.example:{port_of(server)}")


def test_case_106_a_redirect_inside_is_not_followed() -> None:
    reports, server = with_server(
        lambda server: call(f"{server.url}/hook", callback_allowed_hosts="127.0.0.1"),
        Answer(307, headers={"Location": "/elsewhere"}),
    )
    assert [report.status_code for report in reports] == [307]
    assert [request.path for request in server.requests] == ["/hook"]


def test_the_next_address_is_called_when_nobody_listens_at_the_first() -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])
    reports, server = with_server(
        lambda server: call(f"http://a:{port_of(server)}/", resolve=names, callback_allowed_hosts="a")
    )
    assert (reports, len(server.requests)) == ([Report(ID, NOW, 200)], 1)


@pytest.mark.parametrize("hosts", ["Hooks.Example.", "127.0.0.0/8", "10.0.0.0/8, 127.0.0.1"])
def test_a_receiver_inside_is_called_when_the_installation_allows_it(hosts: str) -> None:
    reports, _ = with_server(
        lambda server: call(
            f"http://hooks.example:{port_of(server)}/", resolve=Names(["127.0.0.1"]), callback_allowed_hosts=hosts
        )
    )
    assert reports == [Report(ID, NOW, 200)]


def test_the_installations_own_url_is_called_and_no_other_of_its_host() -> None:
    reports, server = with_server(
        lambda server: call(f"{server.url}/own", f"{server.url}/other", callback_url=f"{server.url}/own")
    )
    assert reports == [Report(ID, NOW, 200), NO_ANSWER]
    assert [request.path for request in server.requests] == ["/own"]


def test_case_111_a_name_that_is_none_is_a_try_without_an_answer() -> None:
    urls = ("http://xn--zzzzzzzzz-\u0430.example/", "http://xn--a/", "http://\ud7ff\u0301.invalid/", "http://a..b/")
    assert asyncio.run(call(*urls)) == [NO_ANSWER] * 4


OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "HTML": (OK + b"Content-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", 200),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
    "a part": (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx", 206),
    "one byte": (b"H", None),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.9\r\n", None),
    "too short": (OK + b"Content-Length: 10\r\n\r\nx", None),
    "a bomb": (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"\0" * 50_000_000), 200),
    "no end": (OK + b"Transfer-Encoding: chunked\r\n\r\n", 200),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_case_116_whatever_the_receiver_answers_is_a_status_code_or_none(kind: str) -> None:
    head, status_code = ANSWERS[kind]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        with contextlib.suppress(ConnectionError):
            while kind == "no end":
                writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
                await writer.drain()
            await writer.drain()
        writer.close()

    async def scene() -> list[Report]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            return await call(url, callback_allowed_hosts="127.0.0.1")

    assert asyncio.run(scene()) == [Report(ID, NOW, status_code)]


def test_case_117_tls_asks_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    hosts: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        hosts.append(head.partition("host: ")[2].partition("\r\n")[0])
        writer.write(b"HTTP/1.1 204 Answer\r\n\r\n")
        await writer.drain()
        writer.close()

    async def scene(ours: ssl.SSLContext, theirs: ssl.SSLContext) -> list[Report]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=ours)
        port = server.sockets[0].getsockname()[1]
        urls = [f"https://{name}:{port}/" for name in ("a.example", "b.example", "127.0.0.1", "a.example.")]
        async with server:
            return await call(*urls, resolve=Names(["127.0.0.1"]), verify=theirs, callback_allowed_hosts="127.0.0.0/8")

    reports = asyncio.run(scene(*a_certificate(tmp_path, "a.example")))
    assert [report.status_code for report in reports] == [204, None, None, 204]
    assert [host.partition(":")[0] for host in hosts] == ["a.example", "a.example."]
