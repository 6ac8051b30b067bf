"""What may become of a watch on its way: lines late, twice, lost, cut off or senseless. Used by the fault proxy."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp

Event = dict[str, Any]
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


class WatchFault:
    """One line of a watch in, lines out; this one changes nothing. None ends the watch."""

    async def spoil(self, event: Event) -> list[bytes | None]:
        return [render(event)]

    def change(self, manifest: Event) -> Event:
        """What becomes of an object in a list."""
        return manifest


class Silence(WatchFault):
    """The connection stays open and shows nothing."""

    async def spoil(self, _event: Event) -> list[bytes | None]:
        return []


class Late(WatchFault):
    """Every event comes so many seconds later."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def spoil(self, event: Event) -> list[bytes | None]:
        await asyncio.sleep(self._seconds)
        return [render(event)]


class Echo(WatchFault):
    """Every event comes twice, and then the first state of the object once more."""

    def __init__(self) -> None:
        self._first: dict[str, bytes] = {}

    async def spoil(self, event: Event) -> list[bytes | None]:
        line = render(event)
        old = self._first.setdefault(str(event["object"].get("metadata", {}).get("uid")), line)
        return [line, line, old]


class Loss(WatchFault):
    """Events are lost, all but the bookmarks."""

    async def spoil(self, event: Event) -> list[bytes | None]:
        return [render(event)] if event["type"] == "BOOKMARK" else []


class Once(WatchFault):
    """One line of its own after the next event, and then nothing more; None ends the watch in the middle of a line."""

    def __init__(self, line: bytes | None) -> None:
        self._line = line
        self.is_done = False

    async def spoil(self, event: Event) -> list[bytes | None]:
        if self.is_done:
            return [render(event)]
        self.is_done = True
        line = render(event)
        return [line[: len(line) // 2], None] if self._line is None else [self._line, line]


class Nonsense(WatchFault):
    """What the API server has of one object makes no sense to anybody."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def spoil(self, event: Event) -> list[bytes | None]:
        return [render(event | {"object": self.change(event["object"])})]

    def change(self, manifest: Event) -> Event:
        is_it = manifest.get("metadata", {}).get("name") == self._name
        return manifest | {"spec": {"source": "nonsense"}} if is_it else manifest


def render(event: Event) -> bytes:
    return json.dumps(event).encode() + b"\n"


async def spoil(answer: aiohttp.ClientResponse, find_fault: Callable[[], WatchFault | None]) -> AsyncIterator[bytes]:
    """The lines of a watch, as the present fault leaves them."""
    buffer = b""
    async for chunk in answer.content.iter_any():
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            fault = find_fault() or WatchFault()
            for part in await fault.spoil(json.loads(line)):
                if part is None:
                    return
                yield part
