"""The API as its own `main` starts it, over fake doors and on a free port of loopback. Used by the corpus tests."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import api.__main__ as program
from api.server import Server
from tests.support.api_fakes import FakeStore, FakeUploads, some_settings
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class LiveApi:
    port: int
    store: FakeStore
    uploads: FakeUploads
    app: Any

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serve(store: FakeStore, uploads: FakeUploads, **changes: Any) -> Iterator[LiveApi]:
    """The server that `main` would run, on a thread, until the block ends."""
    server = _intercept(store, uploads, changes)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_for(lambda: server.started, 10, "uvicorn listens", every_seconds=0.01)
        yield LiveApi(listener.getsockname()[1], store, uploads, server.config.app)
    finally:
        server.should_exit = True
        thread.join()


def _intercept(store: FakeStore, uploads: FakeUploads, changes: dict[str, Any]) -> Server:
    servers: list[Server] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "ApiSettings", lambda: some_settings(**changes))
        patch.setattr(program, "KubernetesStore", lambda *_, **__: store)
        patch.setattr(program, "S3Uploads", lambda *_, **__: uploads)
        patch.setattr(program, "configure_logging", lambda *_: None)
        patch.setattr(program, "serve", lambda config, release: servers.append(Server(config, release)))
        program.main()
    return servers[0]
