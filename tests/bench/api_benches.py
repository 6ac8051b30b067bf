"""The benches of the API. Listed in __main__."""

import itertools
import uuid
from collections.abc import Callable
from functools import partial

from tests.bench import api_lists, crowd
from tests.bench.api_servers import STATUS_PATH, SUBMIT_PATH
from tests.bench.figures import at_least, at_most
from tests.bench.harness import OURS, Bench, Side
from tests.bench.load import PER_CPU_SECOND, Exchange, Program, get, post, run_child, serve_and_ask
from tests.support.bucket import read_env
from tests.support.speech import ROOT

SETTINGS = {
    "API_NAMESPACE": crowd.NAMESPACE,
    "API_S3_BUCKET": crowd.BUCKET,
    "API_S3_ENDPOINT": "http://127.0.0.1:9000",
    "API_S3_PATH_STYLE": "true",
    "API_RATE_REQUESTS": "1000000000",
    "API_MAX_LIVE_JOBS": "1000000000",
}
"""Rates and live jobs are counted as ever; no bound is met. The keys of S3 are added: without them no API is ready."""

SERVERS = "tests.bench.api_servers"


def build_status() -> Bench:
    """Reads of 200 jobs in turn."""
    paths = itertools.cycle([get(f"{STATUS_PATH}/{crowd.name_of(number)}") for number in range(200)])
    exchange = Exchange(lambda: next(paths), 200, next(paths))
    return Bench(
        "status",
        f"`GET status/{{job_id}}` while the namespace holds {crowd.SIZE:,} jobs",
        {
            OURS: partial(serve_and_ask, a_whole_api(), exchange),
            "FastAPI, official client in each request": _server("status-client", exchange),
            "FastAPI, official asyncio client in each request": _server("status-client-aio", exchange),
        },
        {PER_CPU_SECOND: at_least(10)},
        around=crowd.gathered,
    )


def build_submit() -> Bench:
    """Each request starts another job."""
    return Bench(
        "submit",
        "`POST process-video` with S3 and Kubernetes replaced by memory",
        {
            OURS: _server("submit-ours", _submissions()),
            "raw Starlette handler": _server("submit-starlette", _submissions()),
            "plain FastAPI handler, our request model": _server("submit-fastapi", _submissions()),
        },
        {PER_CPU_SECOND: at_least(0.5)},
    )


def build_lists() -> Bench:
    """From nothing to a map of all jobs."""
    return Bench(
        "list",
        f"list and cache {crowd.SIZE:,} jobs",
        {
            OURS: partial(run_child, Program(api_lists.__name__, ("ours",))),
            "official client, typed list": partial(run_child, Program(api_lists.__name__, ("typed",))),
            "official client, untyped list": partial(run_child, Program(api_lists.__name__, ("untyped",))),
        },
        {api_lists.CPU: at_most(0.2), api_lists.MEMORY: at_most(0.5)},
        around=crowd.gathered,
    )


def a_whole_api() -> Program:
    """As it runs in its pod."""
    return Program("api", settings=_settings())


BENCHES: dict[str, Callable[[], Bench]] = {"status": build_status, "submit": build_submit, "list": build_lists}


def _settings() -> dict[str, str]:
    return SETTINGS | read_env(ROOT / ".dev/s3.env")


def _server(side: str, exchange: Exchange) -> Side:
    return partial(serve_and_ask, Program(SERVERS, (side,), _settings()), exchange)


def _submissions() -> Exchange:
    video_url = f"http://127.0.0.1:9000/{crowd.BUCKET}/videos/anonymous/20250911_034548_3b3673a3_sample.mp4"

    def request(job_id: str) -> bytes:
        return post(SUBMIT_PATH, {"job_id": job_id, "video_url": video_url})

    return Exchange(lambda: request(str(uuid.uuid4())), 202, request("123456"))
