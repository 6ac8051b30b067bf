"""uvicorn as the API runs it: at its end, requests that wait for a change are let go first. Used by __main__."""

import contextlib
import socket
import sys
from collections.abc import Callable

import uvicorn

from api.collector import calm_collector

STARTUP_FAILED = 3
"""The exit code that uvicorn itself has for it."""


class Server(uvicorn.Server):
    """`release` is called when no more connections are taken; streams and long-polls would last for minutes."""

    def __init__(self, config: uvicorn.Config, release: Callable[[], None]) -> None:
        super().__init__(config)
        self._release = release

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._release()
        await super().shutdown(sockets)


def serve(config: uvicorn.Config, release: Callable[[], None]) -> None:
    """Run until SIGTERM."""
    calm_collector()
    server = Server(config, release)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)
