"""The election: one process at a time works, the others stand by. Started by __main__; lease.py decides."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

from controller.errors import ControllerError, MissingError
from controller.lease import CALL_SECONDS, RENEW_SECONDS, RETRY_SECONDS, Candidate, Claim, Lease, LeaseLostError

SILENT_AFTER_SECONDS = 30
SHORTEST_CALL_SECONDS = 0.1

logger = logging.getLogger(__name__)


class Door(Protocol):
    """The part of Cluster that is used here."""

    async def call(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]: ...


class LeaseStore:
    """One Lease in the cluster."""

    def __init__(self, door: Door, namespace: str, name: str) -> None:
        self._door = door
        self._namespace = namespace
        self._name = name
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def read(self) -> Lease | None:
        """The Lease as it is now; None when there is none."""
        try:
            return Lease.parse(await self._door.call("GET", f"{self._leases}/{self._name}"))
        except MissingError:
            return None

    async def write(self, claim: Claim) -> Lease:
        """Make or replace it; StaleError when another one was faster."""
        manifest = claim.build_manifest(self._namespace, self._name, datetime.now(UTC))
        if claim.version is None:
            return Lease.parse(await self._door.call("POST", self._leases, manifest))
        return Lease.parse(await self._door.call("PUT", f"{self._leases}/{self._name}", manifest))


class Elector:
    """Takes the Lease when it is free and keeps it. `leading` is set once, for good: losing it ends run()."""

    def __init__(
        self,
        store: LeaseStore,
        me: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.leading = asyncio.Event()
        self._store = store
        self._candidate = Candidate(me)
        self._clock = clock
        self._sleep = sleep
        self._must_read = True
        self._looked_at = clock()

    def is_leading(self) -> bool:
        """Whether the lease holds at this moment; ask before each write."""
        return self._candidate.is_leading(self._clock())

    def find_problem(self) -> str | None:
        """What keeps the election from going on, for the liveness probe."""
        if self.leading.is_set() and not self.is_leading():
            return "the lease is over"
        silent = self._clock() - self._looked_at
        return f"no look at the lease for {silent:.0f} s" if silent > SILENT_AFTER_SECONDS else None

    async def run(self) -> NoReturn:
        """Stand for election for ever; LeaseLostError when it has led and may not any more."""
        logger.info("standing by", extra={"identity": self._candidate.me})
        while True:
            self._candidate.check(self._clock())
            await self._try()
            self._candidate.check(self._clock())
            self._looked_at = self._clock()
            if not self.leading.is_set() and self.is_leading():
                logger.info("leading", extra={"identity": self._candidate.me})
                self.leading.set()
            await self._sleep(self._pause())

    async def release(self) -> None:
        """Let another one lead at once; when that fails, it waits as after a crash."""
        if not self._candidate.resign():
            return
        try:
            async with asyncio.timeout(CALL_SECONDS):
                lease = await self._store.read()
                if lease is not None and lease.holder == self._candidate.me:
                    await self._store.write(Claim(lease.version, "", lease.transitions))
        except (ControllerError, TimeoutError, OSError) as error:
            logger.warning("lease not given back", extra={"error": repr(error)})
        else:
            logger.info("lease given back")

    async def _try(self) -> None:
        """One look or renewal; whatever goes wrong is tried again until the time is over."""
        patience = max(SHORTEST_CALL_SECONDS, min(CALL_SECONDS, self._candidate.seconds_left(self._clock())))
        try:
            async with asyncio.timeout(patience):
                await self._look_and_claim()
        except LeaseLostError:
            raise
        except (ControllerError, TimeoutError, OSError, ValueError, LookupError) as error:
            self._must_read = True
            logger.warning("lease not reached", extra={"error": repr(error), "leading": self.is_leading()})

    async def _look_and_claim(self) -> None:
        if self._must_read or not self.is_leading():
            lease = await self._store.read()
            self._candidate.learn(lease, self._clock())
        claim = self._candidate.propose(self._clock())
        if claim is None:
            return
        asked_at = self._clock()
        self._candidate.win(await self._store.write(claim), asked_at, self._clock())
        self._must_read = False

    def _pause(self) -> float:
        wanted = RENEW_SECONDS if self.is_leading() and not self._must_read else RETRY_SECONDS
        return max(0.0, min(wanted, self._candidate.seconds_left(self._clock())))


async def work_as_leader(elector: Elector, stop: asyncio.Event, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Stand by, work as the leader until the work or the stop ends it, give the lease back."""
    election = asyncio.create_task(elector.run(), name="election")
    waits = [asyncio.create_task(wait(), name="stand by") for wait in (elector.leading.wait, stop.wait)]
    try:
        await asyncio.wait([election, *waits], return_when=asyncio.FIRST_COMPLETED)
        if elector.leading.is_set() and not stop.is_set():
            working = asyncio.create_task(work(), name="work")
            await asyncio.wait([election, working], return_when=asyncio.FIRST_COMPLETED)
            if not election.done():
                await working
        if election.done():
            election.result()
    finally:
        is_lost = election.done()
        for task in (*waits, election):
            task.cancel()
        await asyncio.gather(*waits, election, return_exceptions=True)
        if not is_lost:
            await elector.release()
