"""One connection over its life: slow and endless heads, pipelines, trailers, crowds; on uvicorn as `main` runs it."""

import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

import api.__main__ as program
from api import protocol
from tests.support.api_fakes import FakeStore, FakeUploads, a_result, a_row
from tests.support.live_api import LiveApi, serve
from tests.support.raw_http import build_request, exchange
from tests.support.waiting import wait_for

BASE = "/api/upload-video"
POST = f"POST {BASE}/process-video HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n".encode()
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HEALTH = build_request("GET", "/health")
STATUS = build_request("GET", f"{BASE}/status/ended")
PIECE = b"a" * 100_000


@pytest.fixture(scope="module")
def live() -> Iterator[LiveApi]:
    ended = a_row("ended", status={"state": "Succeeded", "result": a_result()})
    running = a_row("running", status={"state": "Running"})
    with serve(FakeStore(ended, running), FakeUploads()) as api:
        yield api


def talk(port: int, *pieces: bytes) -> bytes:
    """All that comes back until the server ends the connection; fails when it does not."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
        came = b""
        with suppress(ConnectionError):
            while more := connection.recv(1 << 16):
                came += more
        return came


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"GET / HT"], id="request_line"),
        pytest.param([b"GET / HTTP/1.1\r\nHost: a\r\n"], id="headers"),
        pytest.param([b"\r\n", b"\r\n"], id="line_ends_before_a_request"),
        pytest.param([HEALTH, b"GET /sec"], id="second_head"),
    ],
)
def test_a_connection_is_closed_when_its_head_does_not_end(
    live: LiveApi, pieces: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    came = talk(live.port, *pieces)
    assert came.count(b"HTTP/1.1 200") == pieces.count(HEALTH)


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"GET /", id="head"),
        pytest.param(build_request("POST", "/x", {"Content-Length": "1000000"}), id="body_that_nobody_reads"),
    ],
)
def test_what_trickles_gains_no_time_by_that(live: LiveApi, begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", live.port), 0.02) as connection:

        def is_closed() -> bool:
            connection.sendall(b"a")
            with suppress(TimeoutError):
                return connection.recv(1 << 16) == b""
            return False

        connection.sendall(begin)
        with suppress(ConnectionError):
            wait_for(is_closed, 5, "the connection ends", every_seconds=0.02)


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"GET /", id="path"),
        pytest.param(b"GET / HTTP/1.1\r\nX", id="header_name"),
        pytest.param(b"GET / HTTP/1.1\r\nX: ", id="header"),
        pytest.param(CHUNKED + b"0\r\nX: ", id="trailer"),
        pytest.param(CHUNKED + b"1;x=", id="chunk_extension"),
    ],
)
def test_what_never_ends_is_cut_off(live: LiveApi, begin: bytes) -> None:
    reply = exchange(live.port, begin, *[PIECE] * 300)
    assert reply.status in (0, 400, 414, 431)
    assert reply.is_closed
    assert reply.sent_bytes < 100 * len(PIECE)


def test_trailers_are_no_headers(live: LiveApi) -> None:
    body = b'{"job_id":"a","video_url":"x"}'
    whole = CHUNKED + b"%x\r\n%b\r\n0\r\nContent-Encoding: gzip\r\n" % (len(body), body)
    assert exchange(live.port, whole + b"\r\n").status == 422
    assert exchange(live.port, whole + b"X: aaaa\r\n" * 20_000 + b"\r\n").status in (0, 400, 431)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /health HTTP/2.0\r\nHost: a\r\n\r\n", id="version_2"),
        pytest.param(b"GET /health HTTP/0.9\r\nHost: a\r\n\r\n", id="version_0_9"),
        pytest.param(b"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunks_in_1_0"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", id="folded_header"),
        pytest.param(b"GET /health HTTP/1.1\nHost: a\n\n", id="bare_line_feeds"),
        pytest.param(b"GET /health HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", id="control_character"),
    ],
)
def test_a_head_that_may_be_read_in_two_ways_is_refused(live: LiveApi, head: bytes) -> None:
    reply = exchange(live.port, head)
    assert (reply.status, reply.is_closed) == (400, True)
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.json["status"], reply.json["code"]) == (400, "bad_request")


def test_the_refusal_is_in_the_envelope_when_an_openai_client_is_refused(live: LiveApi) -> None:
    reply = exchange(live.port, b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert (reply.status, reply.is_closed) == (400, True)
    assert reply.json["error"]["code"] == "bad_request"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, id="path"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431, id="header"),
    ],
)
def test_the_refusal_is_a_problem_when_a_head_is_too_large(live: LiveApi, head: bytes, status: int) -> None:
    reply = exchange(live.port, head)
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.status, reply.json["status"], reply.json["code"]) == (status, status, "bad_request")


def test_requests_in_a_row_are_answered_in_their_order(live: LiveApi) -> None:
    last = build_request("GET", f"{BASE}/status/unknown", {"Connection": "close"})
    came = talk(live.port, STATUS + HEALTH + last)
    assert re.findall(rb"HTTP/1.1 (\d+)", came) == [b"200", b"200", b"404"]
    assert came.index(b'"job_id":"ended"') < came.index(b"job_not_found")


def test_a_connection_is_used_again(live: LiveApi) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", live.port, 5)) as connection:
        connection.connect()
        used = connection.sock
        for _ in range(3):
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            assert connection.sock is used


def test_what_came_before_a_bad_request_is_answered_first(live: LiveApi) -> None:
    came = talk(live.port, STATUS + b"NONSENSE\r\n\r\n")
    assert came.startswith(b"HTTP/1.1 200 OK")
    assert b'"job_id":"ended"' in came


def test_a_long_row_of_requests_is_cut(live: LiveApi) -> None:
    came = talk(live.port, HEALTH * 10_000)
    assert 0 < came.count(b"HTTP/1.1 200") < 100


def test_an_upgrade_is_answered_as_any_request_and_ends_the_connection(live: LiveApi) -> None:
    came = talk(live.port, build_request("GET", "/health", {"Connection": "Upgrade", "Upgrade": "websocket"}) + PIECE)
    assert came.startswith(b"HTTP/1.1 200 OK")


def test_a_stream_ends_when_the_client_leaves_a_row_of_requests(live: LiveApi) -> None:
    events = build_request("GET", f"{BASE}/jobs/running/events")
    with socket.create_connection(("127.0.0.1", live.port), 5) as connection:
        connection.sendall(events + HEALTH)
        wait_for(lambda: len(live.store.waiters) == 1, 5, "the stream waits", every_seconds=0.01)
    wait_for(lambda: len(live.store.waiters) == 0, 5, "nobody waits any more", every_seconds=0.01)


def test_only_probes_are_served_to_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "MAX_CONNECTIONS", 1)
    with serve(FakeStore(), FakeUploads()) as crowded:
        refused = exchange(crowded.port, build_request("GET", f"{BASE}/jobs"))
        assert (refused.status, refused.is_closed) == (503, True)
        assert (refused.json["code"], refused.headers["retry-after"]) == ("unavailable", "2")
        assert exchange(crowded.port, HEALTH).status == 200


def test_a_client_in_the_middle_of_its_body_sees_why_it_is_refused(live: LiveApi) -> None:
    head = POST + b"Content-Length: 50000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", live.port), 5) as connection:
        connection.sendall(head)
        for _ in range(20):
            connection.sendall(PIECE)
        came = b""
        while more := connection.recv(1 << 16):
            came += more
    assert came.startswith(b"HTTP/1.1 413 ")
    assert b"body_too_large" in came


def test_a_client_that_never_stops_sending_is_left_after_a_moment(
    live: LiveApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", live.port), 5) as connection, pytest.raises(ConnectionError):
        connection.sendall(POST + b"Content-Length: 50000000000\r\n\r\n")
        while True:
            connection.sendall(PIECE)
