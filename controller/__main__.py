"""python -m controller: reads the settings, connects, runs Kopf until SIGTERM."""

import asyncio
import logging
import socket
import sys
from datetime import UTC, datetime
from typing import Any

import kopf
from prometheus_client import start_http_server
from pydantic import ValidationError

from controller.apiserver import ApiServer
from controller.cluster import Cluster
from controller.handlers import build_kopf_settings, build_registry
from controller.loop import Loop
from controller.metrics import Metrics
from controller.outbox import Outbox
from controller.results import Results
from controller.settings import ControllerSettings
from crds.log import configure_logging

logger = logging.getLogger("controller")


def main() -> None:
    """Run; the exit code is 2 for bad settings."""
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
    metrics = Metrics.build()
    server, _ = start_http_server(settings.metrics_port, registry=metrics.registry)
    api_server = await ApiServer.connect(metrics.count_call)
    cluster = Cluster(api_server, settings.namespace)
    results = Results.connect(settings)
    outbox = Outbox(settings, results, _read_clock)
    loop = Loop(settings, cluster, outbox, results, metrics, _read_clock)
    identity: Any = socket.gethostname()  # Kopf's own asks for the user's name, and the user of a pod has none
    try:
        await kopf.operator(
            registry=build_registry(loop, cluster, metrics),
            settings=build_kopf_settings(),
            namespaces=[settings.namespace],
            identity=identity,
            liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz",
        )
    finally:
        await outbox.close()
        await api_server.close()
        server.shutdown()


def _read_clock() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
