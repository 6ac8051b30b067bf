"""Starts the API: settings, logs, the two doors, and uvicorn with one process."""

import logging
from functools import partial

import uvicorn

from api.app import build_app
from api.metrics import Metrics
from api.protocol import MAX_CONNECTIONS, Protocol
from api.server import serve
from api.settings import ApiSettings
from api.store import KubernetesStore
from api.uploads import S3Uploads
from crds.log import configure_logging


def main() -> None:
    """Run until SIGTERM."""
    settings = ApiSettings()
    configure_logging("api", settings.log_level)
    logging.getLogger("api").info("settings", extra={"settings": settings.model_dump(mode="json")})
    metrics = Metrics()
    store = KubernetesStore(settings.namespace, observe=partial(metrics.note_call, "kubernetes"))
    uploads = S3Uploads(settings, observe=partial(metrics.note_call, "s3"))
    config = uvicorn.Config(
        build_app(settings, store, uploads, metrics=metrics),
        host="0.0.0.0",  # noqa: S104  # a container's port is meant to be reached from outside
        port=settings.port,
        http=Protocol,
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=20,
    )
    serve(config, store.release)


if __name__ == "__main__":
    main()
