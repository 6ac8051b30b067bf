"""Who waits for which name to change. Woken by store."""

import asyncio


class Waiters:
    """Any number may wait for the same name; whoever gives up leaves no trace."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    async def wait(self, name: str) -> None:
        """Until that name, or all, are woken."""
        if self._is_closed:
            return
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(name, set())
        waiting.add(news)
        try:
            await news
        finally:
            waiting.discard(news)
            if not waiting and self._waiting.get(name) is waiting:
                del self._waiting[name]

    def wake(self, name: str) -> None:
        """Let all who wait for that name look again."""
        for news in self._waiting.get(name, ()):
            if not news.done():
                news.set_result(None)

    def wake_all(self) -> None:
        """Let everybody look again."""
        for name in self._waiting:
            self.wake(name)

    def close(self) -> None:
        """Let everybody go, and nobody wait any more."""
        self._is_closed = True
        self.wake_all()
