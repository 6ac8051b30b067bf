"""Plays the workers in the simulated pods: they report, store a result that is none, and end. Used with kwok.

A worker writes to the API server what a real one does, in the same order, and nothing goes to S3.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from crds.transcriptionjob import API_VERSION, ATTEMPT_LABEL, NAME_LABEL, PLURAL, UID_LABEL
from crds.worker import build_result_prefix
from tests.bench.door import Document, Door

EXIT_CODE = "transcription.invalid/exit-code"
PODS = "/api/v1/namespaces/{namespace}/pods?labelSelector=" + UID_LABEL
AUDIO_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Act:
    """What one pod's worker does."""

    seconds: float
    exit_code: int = 0


Direct = Callable[[Document], Act]
"""Tells the worker of a pod what to do."""


def well_within(low: float, high: float) -> Direct:
    """All go well, and take between so and so long."""
    return lambda _: Act(random.uniform(low, high))


class Workers:
    """Every pod of the namespace that becomes Running gets one."""

    def __init__(self, door: Door, namespace: str, direct: Direct) -> None:
        self._door = door
        self._namespace = namespace
        self._direct = direct
        self._played: dict[str, asyncio.Task[None]] = {}

    @property
    def count(self) -> int:
        """How many pods have run."""
        return len(self._played)

    async def run(self) -> None:
        """Play until cancelled; what goes wrong with one worker ends all."""
        path = PODS.format(namespace=self._namespace)
        version = (await self._door.get(f"{path}&limit=1"))["metadata"]["resourceVersion"]
        async with asyncio.TaskGroup() as group:
            self._group = group
            for pod in await self._door.list(path):
                self._look_at(pod)
            while True:
                async for event in self._door.watch(path, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    self._look_at(event["object"])

    def _look_at(self, pod: Document) -> None:
        uid = pod["metadata"]["uid"]
        if pod["status"].get("phase") == "Running" and uid not in self._played:
            self._played[uid] = self._group.create_task(self._play(pod))

    async def _play(self, pod: Document) -> None:
        act = self._direct(pod)
        await self._report(pod, {"progress": _build_progress(pod, 0)})
        await asyncio.sleep(act.seconds)
        if act.exit_code == 0:
            await self._report(pod, {"progress": _build_progress(pod, 100), "result": _build_result(pod)})
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}"
        end = {"metadata": {"annotations": {EXIT_CODE: str(act.exit_code)}}}
        await self._door.send("PATCH", path, end, accepted=(200, 404))

    async def _report(self, pod: Document, status: Document) -> None:
        """Like a real one it does not mind when nobody wants to know any more."""
        name = pod["metadata"]["labels"][NAME_LABEL]
        path = f"/apis/{API_VERSION}/namespaces/{self._namespace}/{PLURAL}/{name}/status"
        await self._door.send("PATCH", path, {"status": status}, accepted=(200, 404, 409, 422))


def _build_progress(pod: Document, percent: int) -> Document:
    return {
        "podUID": pod["metadata"]["uid"],
        "attempt": int(pod["metadata"]["labels"][ATTEMPT_LABEL]),
        "percent": percent,
        "stage": "Transcribing" if percent < 100 else "Delivering",
        "processedSeconds": AUDIO_SECONDS * percent / 100,
        "totalSeconds": AUDIO_SECONDS,
    }


def _build_result(pod: Document) -> Document:
    meta = pod["metadata"]
    labels = meta["labels"]
    prefix = build_result_prefix(meta["namespace"], labels[NAME_LABEL], labels[UID_LABEL], int(labels[ATTEMPT_LABEL]))
    return {"key": f"{prefix}transcript.json", "sha256": "a" * 64, "bytes": 100, "formats": ["json"], "segments": 1}
