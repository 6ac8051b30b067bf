"""The quick try, against a real receiver on the loopback."""

import json
import math
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from crds.callback import verify
from tests.support.worker_fakes import SECRET, a_task, a_transcript
from worker import deliver
from worker.deliver import Courier

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Receiver(ThreadingHTTPServer):
    def __init__(self, code: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.code = code
        self.received: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/result"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.received.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.code)
        self.send_header("location", f"{self.server.url}/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def a_courier(url: str, secret: str | None = SECRET, **changes: Any) -> Courier:
    return Courier(a_task(callback_url=url, **changes), secret, lambda: NOW)


def test_the_transcript_is_posted_and_signed(receiver: Receiver) -> None:
    assert a_courier(receiver.url, metadata={"order": "7"}).deliver(a_transcript()) == 200
    ((_, headers, body),) = receiver.received
    assert json.loads(body) == {
        "job_id": "talk",
        "status": "completed",
        "metadata": {"order": "7"},
        "result": a_transcript(),
    }
    assert verify([SECRET], headers, body, NOW) == "msg_u1_1"
    assert headers["content-type"] == "application/json"


def test_the_id_goes_along_when_nothing_is_signed(receiver: Receiver) -> None:
    a_courier(receiver.url, secret=None).deliver(a_transcript())
    ((_, headers, _),) = receiver.received
    assert headers["webhook-id"] == "msg_u1_1"
    assert "webhook-signature" not in headers


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.code = 307
    assert a_courier(receiver.url).deliver(a_transcript()) == 307
    assert [path for path, _, _ in receiver.received] == ["/result"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://no-such-host.invalid/", "http://[::1/", "ftp://x/"])
def test_there_is_no_answer_when_nobody_is_there(url: str) -> None:
    assert a_courier(url).deliver(a_transcript()) is None


def test_there_is_no_answer_when_the_secret_is_unusable(receiver: Receiver) -> None:
    assert a_courier(receiver.url, secret="whsec_short").deliver(a_transcript()) is None
    assert receiver.received == []


@pytest.mark.parametrize("unsendable", [math.nan, b"bytes"])
def test_there_is_no_answer_when_the_transcript_is_no_json(unsendable: object, receiver: Receiver) -> None:
    assert a_courier(receiver.url).deliver(a_transcript() | {"text": unsendable}) is None
    assert receiver.received == []


def test_the_wait_ends_when_the_receiver_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "TOTAL_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert a_courier(url).deliver(a_transcript()) is None
