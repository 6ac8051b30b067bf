"""The servers of the API's benches: `python -m tests.bench.api_servers SIDE`, on API_PORT. Started by api_benches.

Ours for status is `python -m api` itself; all others run on uvicorn as it does.
"""

import os
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from api.protocol import Protocol
from crds.transcriptionjob import GROUP, PLURAL, VERSION, State

ACCEPTED_MESSAGE = "비디오 처리가 시작되었습니다"
STATUS_PATH = "/api/upload-video/status"
SUBMIT_PATH = "/api/upload-video/process-video"


def build_submit_ours() -> ASGIApp:
    """The whole API over doors in memory."""
    from api.app import build_app
    from api.collector import calm_collector
    from api.settings import ApiSettings
    from crds.log import configure_logging

    configure_logging("api", "INFO")
    calm_collector()
    return build_app(ApiSettings(), MemoryStore(), MemoryUploads())  # type: ignore[arg-type]  # what submit needs


def build_submit_starlette() -> ASGIApp:
    """Reads JSON, answers the same; checks nothing, logs nothing, counts nothing."""

    async def process_video(request: Request) -> JSONResponse:
        asked = await request.json()
        return JSONResponse(*_accepted(asked["job_id"]))

    return Starlette(routes=[Route(SUBMIT_PATH, process_video, methods=["POST"]), Route("/ready", _ready)])


def build_submit_fastapi() -> ASGIApp:
    """The same request model as ours in a plain FastAPI handler: no limits, no strictness, no log, no metrics."""
    from api.schemas import Accepted, ProcessVideoRequest

    app = FastAPI()

    @app.post(SUBMIT_PATH, status_code=202)
    async def process_video(asked: ProcessVideoRequest) -> Accepted:
        return Accepted(**_accepted(asked.job_id)[0])

    app.add_route("/ready", _ready)
    return app


def build_status_client() -> ASGIApp:
    """Calls the official client in every request, in a thread, as such a handler must."""
    import kubernetes

    kubernetes.config.load_kube_config()
    custom = kubernetes.client.CustomObjectsApi()
    namespace = os.environ["API_NAMESPACE"]
    app = FastAPI()

    @app.get(STATUS_PATH + "/{job_id}")
    def get_status(job_id: str) -> dict[str, Any]:
        return _status(custom.get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, job_id))

    app.add_route("/ready", _ready)
    return app


def build_status_client_aio() -> ASGIApp:
    """The same with the official client's asyncio half, which needs no threads."""
    from kubernetes.aio import client, config

    namespace = os.environ["API_NAMESPACE"]
    app = FastAPI()

    @app.get(STATUS_PATH + "/{job_id}")
    async def get_status(job_id: str) -> dict[str, Any]:
        if not hasattr(app.state, "custom"):
            await config.load_kube_config()
            app.state.custom = client.CustomObjectsApi()
        return _status(await app.state.custom.get_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, job_id))

    app.add_route("/ready", _ready)
    return app


async def _ready(_: Request) -> JSONResponse:
    return JSONResponse({})


def _accepted(job_id: str) -> tuple[dict[str, str], int, dict[str, str]]:
    status_url = f"{STATUS_PATH}/{job_id}"
    answer = {"job_id": job_id, "status": "processing", "message": ACCEPTED_MESSAGE, "status_url": status_url}
    return answer, 202, {"Location": status_url}


def _status(seen: Mapping[str, Any]) -> dict[str, Any]:
    """The status document of a transcription that has succeeded; there are no others in the bench."""
    name, spec, status = seen["metadata"]["name"], seen["spec"], seen["status"]
    progress, callback = status["progress"], status["callback"]
    return {
        "job_id": name,
        "status": "completed",
        "progress": 100,
        "state": status["state"],
        "message": status["message"],
        "audio_seconds_done": progress["processedSeconds"],
        "audio_seconds_total": progress["totalSeconds"],
        "realtime_factor": progress["realtimeFactor"],
        "attempt": status["attempt"],
        "created_at": seen["metadata"]["creationTimestamp"],
        "started_at": status["startTime"],
        "completed_at": status["completionTime"],
        "outputs": {one: f"/api/upload-video/transcripts/{name}.{one}" for one in status["result"]["formats"]},
        "callback": {
            "state": callback["state"],
            "attempts": callback["attempts"],
            "last_status_code": callback["lastStatusCode"],
            "last_attempt_at": callback["lastAttemptTime"],
        },
        "model": spec["model"],
        "metadata": spec["metadata"],
    }


class MemoryStore:
    """A store that costs next to nothing: nothing is there yet, and everything can be made."""

    is_synced = is_following = True
    age_seconds = 0.0

    def __init__(self) -> None:
        from api.rows import Rows

        self.rows = Rows()

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def read(self, _: str) -> None:
        return None

    async def create(self, name: str, *_: object) -> Any:
        """Of the row, what an answer takes."""
        return SimpleNamespace(name=name, path=name, state=State.PENDING)


class MemoryUploads:
    """A bucket that has every object."""

    def __init__(self) -> None:
        from api.doors import StoredObject

        self._stored = StoredObject('"9bb58f26192e4ba00f01e2e7b136bbd8"', 1 << 20)

    async def stop(self) -> None: ...

    async def look(self) -> None: ...

    async def head(self, _: str) -> Any:
        return self._stored


SIDES: dict[str, Callable[[], ASGIApp]] = {
    "submit-ours": build_submit_ours,
    "submit-starlette": build_submit_starlette,
    "submit-fastapi": build_submit_fastapi,
    "status-client": build_status_client,
    "status-client-aio": build_status_client_aio,
}


def main(side: str) -> None:
    uvicorn.run(
        SIDES[side](),
        http=Protocol,
        ws="none",
        host="127.0.0.1",
        port=int(os.environ["API_PORT"]),
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main(sys.argv[1])
