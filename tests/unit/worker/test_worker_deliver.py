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

from crds.addresses import Allowed
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


LOOPBACK = Allowed.parse(["127.0.0.0/8"])


def a_courier(url: str, secret: str | None = SECRET, allowed: Allowed = LOOPBACK, **changes: Any) -> Courier:
    return Courier(a_task(callback_url=url, **changes), [secret] if secret else [], lambda: NOW, allowed)


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


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/", "http://no-such-host.invalid/", "http://[::1/", "ftp://x/", "http://" + "a" * 300 + "/x"],
)
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


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "[::ffff:127.0.0.1]"])
def test_cases_92_to_97_an_address_inside_is_not_called(
    host: str, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://{host}:{receiver.server_port}/result"
    assert a_courier(url, allowed=Allowed()).deliver(a_transcript()) is None
    assert receiver.received == []
    reasons = [vars(line)["reason"] for line in caplog.records if line.message == "callback refused"]
    assert reasons == ["loopback"]


def test_cases_102_to_105_a_name_is_resolved_once_and_called_where_it_was_judged(receiver: Receiver) -> None:
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    url = f"http://Hooks.example:{receiver.server_port}/result?a=1"
    courier = Courier(a_task(callback_url=url), [SECRET], lambda: NOW, LOOPBACK, resolve)
    assert courier.deliver(a_transcript()) == 200
    ((path, headers, _),) = receiver.received
    assert (path, headers["host"]) == ("/result?a=1", f"hooks.example:{receiver.server_port}")
    assert asked == [("hooks.example", receiver.server_port)]


def test_case_100_a_user_name_is_refused(receiver: Receiver) -> None:
    assert a_courier(receiver.url.replace("127", "good@127")).deliver(a_transcript()) is None
    assert receiver.received == []


def test_a_proxy_of_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert a_courier(receiver.url).deliver(a_transcript()) == 200
