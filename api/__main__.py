"""Starts the API: settings, logs, the two doors, and uvicorn with one process."""

import logging

import uvicorn

from api.app import build_app
from api.settings import ApiSettings
from api.store import KubernetesStore
from api.uploads import S3Uploads
from crds.log import configure_logging


def main() -> None:
    """Run until SIGTERM."""
    settings = ApiSettings()
    configure_logging("api", settings.log_level)
    logging.getLogger("api").info("settings", extra={"settings": settings.model_dump(mode="json")})
    uvicorn.run(
        build_app(settings, KubernetesStore(settings.namespace), S3Uploads(settings)),
        host="0.0.0.0",  # noqa: S104  # a container's port is meant to be reached from outside
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=20,
    )


if __name__ == "__main__":
    main()
