"""Thousands of finished TranscriptionJobs in a namespace of their own, on the cluster. Used by the benches."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient

from api.apiserver import connect
from crds.transcriptionjob import API_VERSION, PLURAL, Callback, Source, Spec, build_transcription
from tests.bench.harness import BenchError

NAMESPACE = "transcription-bench"
SIZE = 5_000
AT_ONCE = 16
GONE_SECONDS = 300
NAMESPACE_PATH = f"/api/v1/namespaces/{NAMESPACE}"
PATH = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
BUCKET = "transcriptions"
STARTED, ENDED = "2025-09-11T03:45:52Z", "2025-09-11T03:46:31Z"


def name_of(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{API_VERSION}/{number}"))


def build_manifest(number: int, namespace: str = NAMESPACE) -> dict[str, Any]:
    spec = Spec(
        source=Source(
            bucket=BUCKET,
            key=f"videos/anonymous/20250911_034548_{number:08x}_lecture.mp4",
            etag='"9bb58f26192e4ba00f01e2e7b136bbd8"',
        ),
        model="large-v3",
        language="ko",
        callback=Callback(url="https://backend.example.com/api/upload-video/result"),
        metadata={"course": "physics-101", "lecture": str(number)},
    )
    return build_transcription(name_of(number), namespace, spec, {"transcription.ecg.dev/request": f"{number:064x}"})


def build_status(number: int) -> dict[str, Any]:
    """As controller and worker leave it behind a transcription that went well."""
    uid = name_of(number + 1_000_000)
    return {
        "observedGeneration": 1,
        "state": "Succeeded",
        "message": "The transcript is stored.",
        "attempt": 1,
        "settled": True,
        "jobRef": {"name": f"{name_of(number)}-1", "uid": uid},
        "podName": f"{name_of(number)}-1-x7k2p",
        "startTime": STARTED,
        "completionTime": ENDED,
        "progress": {
            "podUID": uid,
            "attempt": 1,
            "percent": 100,
            "stage": "Delivering",
            "processedSeconds": 1834.5,
            "totalSeconds": 1834.5,
            "realtimeFactor": 47.25,
            "lastUpdateTime": ENDED,
        },
        "result": {
            "key": f"transcripts/{NAMESPACE}/{name_of(number)}/{uid}/1/transcript.json",
            "sha256": f"{number:064x}",
            "bytes": 48211,
            "formats": ["json", "txt", "srt", "vtt", "tsv"],
            "language": "ko",
            "durationSeconds": 1834.5,
            "segments": 412,
        },
        "callback": {
            "state": "Delivered",
            "id": f"msg_{uid}",
            "attempts": 1,
            "lastStatusCode": 200,
            "lastAttemptTime": ENDED,
        },
        "conditions": [
            {"type": kind, "status": "True", "reason": reason, "observedGeneration": 1, "lastTransitionTime": at}
            for kind, reason, at in (
                ("Accepted", "Accepted", STARTED),
                ("Succeeded", "Completed", ENDED),
                ("Finished", "Completed", ENDED),
                ("CallbackDelivered", "Delivered", ENDED),
            )
        ],
    }


@contextmanager
def gathered(size: int = SIZE) -> Iterator[None]:
    """They are there, those of an earlier run that was killed among them; at the end their deletion begins."""
    asyncio.run(_gather(size))
    try:
        yield
    finally:
        asyncio.run(_disperse())


async def _gather(size: int) -> None:
    async with _door() as door:
        await _wait_until_gone(door)
        await _send(door, "POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}, accepted=(201, 409))
        finished = await _list_finished(door)
        numbers = iter([number for number in range(size) if name_of(number) not in finished])

        async def make() -> None:
            for number in numbers:
                await _make(door, number)

        await asyncio.gather(*(make() for _ in range(AT_ONCE)))


async def _make(door: ApiClient, number: int) -> None:
    await _send(door, "POST", PATH, build_manifest(number), accepted=(201, 409))
    await _send(door, "PATCH", f"{PATH}/{name_of(number)}/status", {"status": build_status(number)})


async def _list_finished(door: ApiClient) -> set[str]:
    """Those that an earlier run has left."""
    async with await _call(door, "GET", PATH) as response:
        items = json.loads(await response.read())["items"]
    return {item["metadata"]["name"] for item in items if "state" in item.get("status", {})}


async def _disperse() -> None:
    """The cluster goes on deleting for some minutes; nobody waits for it but the next run."""
    async with _door() as door:
        await _send(door, "DELETE", NAMESPACE_PATH, accepted=(200, 202, 404, 409))


async def _wait_until_gone(door: ApiClient) -> None:
    """When an earlier run's namespace is being deleted."""
    async with asyncio.timeout(GONE_SECONDS):
        while await _is_going(door):  # noqa: ASYNC110  # no task of ours ends it
            await asyncio.sleep(1)


async def _is_going(door: ApiClient) -> bool:
    async with await _call(door, "GET", NAMESPACE_PATH) as response:
        return response.status == 200 and "deletionTimestamp" in json.loads(await response.read())["metadata"]


async def _send(door: ApiClient, method: str, path: str, body: Any = None, accepted: tuple[int, ...] = (200,)) -> int:
    async with await _call(door, method, path, body) as response:
        if response.status not in accepted:
            raise BenchError(f"{method} {path}: {response.status} {await response.text()}")
        return response.status


async def _call(door: ApiClient, method: str, path: str, body: Any = None) -> aiohttp.ClientResponse:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    response: aiohttp.ClientResponse = await door.call_api(
        path,
        method,
        header_params={"Accept": "application/json", "Content-Type": kind},
        body=body,
        auth_settings=["BearerToken"],
        _preload_content=False,
    )
    return response


@asynccontextmanager
async def _door() -> AsyncIterator[ApiClient]:
    door = await connect()
    try:
        yield door
    finally:
        await door.close()
