"""uvicorn as the API runs it: at its end, requests that wait for a change are let go first. Used by __main__."""

import contextlib
import gc
import socket
import sys
from collections.abc import Callable

import uvicorn

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
    """Run until SIGTERM. The collector leaves alone what is there by now: looking at it takes a tenth of a second."""
    gc.freeze()
    server = Server(config, release)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)
