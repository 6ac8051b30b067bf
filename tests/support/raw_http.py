"""HTTP as no client library would send it: bytes over a socket, and what comes back. Used by the corpus tests."""

import http.client
import json
import select
import socket
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

HANG_SECONDS = 5.0


@dataclass(frozen=True)
class Reply:
    """An answer; header names in lower case. Status 0 is a connection that ended without one."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_closed: bool
    sent_bytes: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def build_request(method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request with Host and Content-Length, unless the headers say otherwise."""
    fields = {"Host": "api", "Content-Length": str(len(body))} | (headers or {})
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + body


def exchange(port: int, *pieces: bytes, is_ended: bool = False) -> Reply:
    """Send the pieces until an answer comes, and read it; fails when it takes longer than a client waits.

    `is_ended` says that nothing more will be sent.
    """
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), HANG_SECONDS) as connection:
        sent = _send(connection, pieces)
        if is_ended:
            connection.shutdown(socket.SHUT_WR)
        method = pieces[0].partition(b" ")[0].decode(errors="replace")
        reply = _read(connection, method, sent)
    assert time.monotonic() - begin < HANG_SECONDS
    return reply


def _send(connection: socket.socket, pieces: Iterable[bytes]) -> int:
    sent = 0
    for piece in pieces:
        if select.select([connection], [], [], 0)[0]:
            break
        try:
            connection.sendall(piece)
        except ConnectionError:
            break
        sent += len(piece)
    return sent


def _read(connection: socket.socket, method: str, sent: int) -> Reply:
    with closing(http.client.HTTPResponse(connection, method=method)) as answer:
        try:
            answer.begin()
            body = answer.read()
        except (ConnectionError, http.client.HTTPException):
            return Reply(0, {}, b"", is_closed=True, sent_bytes=sent)
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, headers, body, _is_closed(connection, headers), sent)


def _is_closed(connection: socket.socket, headers: dict[str, str]) -> bool:
    """Whether the server ends the connection, as it must after it has said so."""
    if headers.get("connection", "") != "close":
        return False
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True
