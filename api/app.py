"""The application, put together in one visible place. Called by __main__ and by tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api import probes, routes
from api.doors import Store, Uploads
from api.errors import install_handlers
from api.guard import Guard
from api.metrics import Metrics
from api.observe import Observe
from api.schemas import Problem
from api.settings import ApiSettings
from api.wiring import Parts, build_storage


def _utc_now() -> datetime:
    return datetime.now(UTC)


def build_app(settings: ApiSettings, store: Store, uploads: Uploads, now: Callable[[], datetime] = _utc_now) -> FastAPI:
    """The whole API over two doors; it starts and stops them."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await store.start()
        yield
        await store.stop()
        await uploads.stop()

    app = FastAPI(
        title="Transcription API", version="1", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    metrics = Metrics(lambda: store.age_seconds)
    app.state.parts = Parts(settings, store, uploads, metrics, build_storage(settings), now)
    app.include_router(routes.router)
    app.include_router(probes.router)
    install_handlers(app)
    app.add_middleware(Guard)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["Location", "ETag", "Retry-After"],
    )
    app.add_middleware(Observe, metrics=metrics, namespace=settings.namespace)
    _publish_problem(app)
    return app


def _publish_problem(app: FastAPI) -> None:
    """Put the schema that all error answers refer to into openapi.json."""
    make = app.openapi

    def make_with_problem() -> dict[str, object]:
        document = make()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document["components"]["schemas"]
        schemas.update(schema.pop("$defs", {}) | {"Problem": schema})
        return document

    app.openapi = make_with_problem  # type: ignore[method-assign]  # the way FastAPI documents
