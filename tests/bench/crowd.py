"""Thousands of finished TranscriptionJobs in a namespace of their own, on the cluster. Used by the benches."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from crds.transcriptionjob import API_VERSION, PLURAL, Callback, Source, Spec, build_transcription
from tests.bench.door import Door, opened

NAMESPACE = "transcription-bench"
SIZE = 5_000
AT_ONCE = 16
BUCKET = "transcriptions"
STARTED, ENDED = "2025-09-11T03:45:52Z", "2025-09-11T03:46:31Z"


def path_of(namespace: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"


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
    async with opened() as door:
        await door.ensure_namespace(NAMESPACE)
        await fill(door, NAMESPACE, size)


async def fill(door: Door, namespace: str, size: int) -> None:
    """As many finished ones; those of an earlier run are taken over."""
    path = path_of(namespace)
    finished = {item["metadata"]["name"] for item in await door.list(path) if "state" in item.get("status", {})}
    numbers = iter([number for number in range(size) if name_of(number) not in finished])

    async def make() -> None:
        for number in numbers:
            await door.send("POST", path, build_manifest(number, namespace), accepted=(201, 409))
            await door.send("PATCH", f"{path}/{name_of(number)}/status", {"status": build_status(number)})

    await asyncio.gather(*(make() for _ in range(AT_ONCE)))


async def _disperse() -> None:
    async with opened() as door:
        await door.drop_namespace(NAMESPACE)
