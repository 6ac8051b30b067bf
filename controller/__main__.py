"""python -m controller: reads the settings, connects, stands by, runs Kopf as the leader until SIGTERM."""

import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import kopf
from prometheus_client import start_http_server
from pydantic import ValidationError

from controller.apiserver import ApiServer
from controller.cluster import Cluster
from controller.handlers import Runners, build_kinds, build_kopf_settings, build_registry, followed, stop_on_signals
from controller.health import Health, find_end, serve_health
from controller.leader import Elector, LeaseStore, work_as_leader
from controller.lease import LeaseLostError
from controller.loop import Loop
from controller.measures import begin, keep_states_shown
from controller.metrics import Metrics
from controller.outbox import Outbox
from controller.results import Results
from controller.settings import ControllerSettings
from controller.watches import Watches
from crds.log import configure_logging

LEASE_LOST = 3

logger = logging.getLogger("controller")


def main() -> None:
    """Run; the exit code is 2 for bad settings, 3 when another one may lead."""
    try:
        settings = ControllerSettings()
    except ValidationError as error:
        sys.exit(f"bad settings: {error}")
    configure_logging("controller", settings.log_level)
    logger.info("started", extra={"settings": settings.model_dump(mode="json")})
    asyncio.run(run(settings))
    logger.info("stopped")


async def run(settings: ControllerSettings) -> None:
    """The whole controller, wired."""
    metrics, health, stop = Metrics.build(), Health(), asyncio.Event()
    begin(metrics)
    stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        metrics_server, _ = start_http_server(settings.metrics_port, registry=metrics.registry)
        stack.callback(metrics_server.shutdown)
        stack.callback(serve_health(health, settings.health_port).shutdown)
        metrics.loop_lag.set_function(lambda: health.worst_lag)
        ticks = asyncio.create_task(health.run(), name="health")
        stack.callback(ticks.cancel)
        server = await ApiServer.connect(metrics.count_call, lambda: work.may_write())  # noqa: PLW0108  # work comes later
        stack.push_async_callback(server.close)
        work = Work(settings, server, metrics, health, stop)
        if settings.lease_name is None:
            metrics.leader.set(1)
            await work.run()
        else:
            await _stand_by(settings.lease_name, work)


class Work:
    """What the leader does."""

    def __init__(
        self, settings: ControllerSettings, server: ApiServer, metrics: Metrics, health: Health, stop: asyncio.Event
    ) -> None:
        self.settings, self.server, self.metrics, self.health, self.stop = settings, server, metrics, health, stop
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each write; an election puts its own in place."""

    async def run(self) -> None:
        """Watch and reconcile until the stop."""
        settings = self.settings
        cluster, results = Cluster(self.server, settings.namespace), Results.connect(settings)
        outbox = Outbox(settings, results, _read_clock)
        loop = Loop(settings, cluster, outbox, results, self.metrics, _read_clock)
        runners = Runners(loop, self.stop)
        watches = Watches(build_kinds(settings.namespace), self.server, self.metrics)
        beside = [
            asyncio.create_task(watches.run(), name="watches"),
            asyncio.create_task(keep_states_shown(self.metrics, loop.cache, _read_clock), name="states"),
        ]
        self.health.add(runners.find_problem, watches.find_problem, lambda: find_end(beside))
        identity: Any = socket.gethostname()  # Kopf's own asks for the user's name, and the user of a pod has none
        try:
            with followed(watches):
                await kopf.operator(
                    registry=build_registry(loop, cluster, runners, self.stop),
                    settings=build_kopf_settings(),
                    namespaces=[settings.namespace],
                    identity=identity,
                    stop_flag=self.stop,
                )
        finally:
            for task in beside:
                task.cancel()
            await outbox.close()


async def _stand_by(lease_name: str, work: Work) -> None:
    identity = f"{work.settings.instance}_{secrets.token_hex(4)}"
    elector = Elector(LeaseStore(work.server, work.settings.namespace, lease_name), identity)
    work.may_write = elector.is_leading
    work.metrics.leader.set_function(elector.is_leading)
    work.health.add(elector.find_problem)
    try:
        await work_as_leader(elector, work.stop, work.run)
    except LeaseLostError as error:
        logger.critical("not leading any more", extra={"error": str(error)})
        logging.shutdown()
        os._exit(LEASE_LOST)  # at once: an orderly end takes seconds, and another one may be at work already


def _read_clock() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
