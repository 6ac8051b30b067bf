"""The application, put together in one visible place. Called by __main__ and by tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from api import probes, routes
from api.auth import build_gate
from api.cors import Cors
from api.doors import Store, Uploads
from api.errors import install_handlers
from api.guard import Guard
from api.metrics import Metrics
from api.observe import Observe
from api.openai.routes import router as openai_router
from api.openapi.document import publish_openapi
from api.openapi.page import router as docs_router
from api.quick import Quick
from api.rates import build_rates
from api.settings import ApiSettings
from api.wiring import Parts, build_storage

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI's own asks for its settings with every request; ours is metrics and observe."""


class Api(FastAPI):
    """FastAPI from our own outermost layer on: three more stand around it.

    They are for telemetry, which is off, for a bound on bodies and for what nobody caught; bodies and guard do those.
    """

    def build_middleware_stack(self) -> ASGIApp:
        layer: Any = super().build_middleware_stack()
        while not isinstance(layer, Observe):
            layer = layer.app
        return layer


def _utc_now() -> datetime:
    return datetime.now(UTC)


def build_app(
    settings: ApiSettings,
    store: Store,
    uploads: Uploads,
    now: Callable[[], datetime] = _utc_now,
    metrics: Metrics | None = None,
) -> FastAPI:
    """The whole API over two doors; it starts and stops them."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await store.start()
        yield
        await store.stop()
        await uploads.stop()

    app = Api(
        title="Transcription API",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    metrics = metrics or Metrics()
    metrics.follow(lambda: store.age_seconds, lambda: store.rows.live)
    app.state.parts = Parts(
        settings,
        store,
        uploads,
        metrics,
        build_storage(settings),
        build_gate(settings, now, metrics),
        build_rates(settings),
        now,
    )
    app.router.routes += routes.quick.routes
    for router in (routes.router, openai_router, probes.router, docs_router):
        app.include_router(router)
    app.include_router(routes.receiver)
    install_handlers(app)
    app.add_middleware(Quick, routes=app.routes)
    app.add_middleware(Guard)
    app.add_middleware(Cors, allow_origins=settings.origins)
    app.add_middleware(Observe, metrics=metrics, namespace=settings.namespace)
    publish_openapi(app)
    return app
