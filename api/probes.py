"""What Kubernetes and Prometheus ask. Wired by app."""

import logging

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.doors import UnavailableError
from api.schemas import Health
from api.wiring import Parts, Wired

logger = logging.getLogger(__name__)

router = APIRouter()

# GET is published, HEAD is not. The route that serves both is the one that answers, so that Allow names both.
BY_EITHER = ["GET", "HEAD"]


@router.get("/health", operation_id="getHealth", responses={503: {"model": Health}})
@router.api_route("/health", methods=BY_EITHER, include_in_schema=False)
async def get_health(parts: Wired, response: Response) -> Health:
    """Liveness: whether this process does its work, whatever the systems around it do."""
    if parts.store.is_following:
        return Health(status="ok")
    response.status_code = 503
    return Health(status="stuck")


@router.get("/ready", operation_id="getReady", responses={503: {"model": Health}})
@router.api_route("/ready", methods=BY_EITHER, include_in_schema=False)
async def get_ready(parts: Wired, response: Response) -> Health:
    """Readiness: whether all transcriptions have been listed once, and the bucket too.

    A lost watch or an S3 that goes down later does not end it: they would hit all replicas at once,
    and requests that do not need them still get good answers. A wrong S3 setting never lets it begin.
    """
    if parts.store.is_synced and await _has_bucket(parts):
        return Health(status="ready")
    response.status_code = 503
    return Health(status="starting")


async def _has_bucket(parts: Parts) -> bool:
    try:
        await parts.uploads.look()
    except UnavailableError as error:
        logger.warning("not ready: %s", error)
        return False
    return True


@router.get("/metrics", operation_id="getMetrics", include_in_schema=False)
async def get_metrics(parts: Wired) -> Response:
    """Prometheus metrics."""
    return Response(parts.metrics.render(), media_type=CONTENT_TYPE_LATEST)
