"""What two watches show of a run: who has ended and how, and how many Jobs each has had. Used by simulation."""

import time
from collections import Counter

from crds.transcriptionjob import FINAL_STATES, NAME_LABEL, State
from tests.bench import crowd
from tests.bench.door import Document, Door


class Sightings:
    """Watches miss nothing between the version they start at and now, so what is not seen here did not happen."""

    def __init__(self, door: Door, namespace: str) -> None:
        self._door = door
        self._transcriptions = crowd.path_of(namespace)
        self._jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._version = ""
        self._complete: dict[str, float] = {}
        self.names: set[str] = set()
        self.ends: dict[str, State] = {}
        self.changed: list[str] = []
        """What a final state became afterwards."""
        self.jobs: Counter[str] = Counter()
        """How many Jobs each transcription has had."""
        self.latencies: list[float] = []
        """Seconds from the end of the Job to the final state, as this process saw them."""

    async def begin(self) -> None:
        """What happens from now on counts."""
        self._version = (await self._door.get(f"{self._jobs}?limit=1"))["metadata"]["resourceVersion"]

    async def follow_transcriptions(self) -> None:
        version = self._version
        while True:
            async for event in self._door.watch(self._transcriptions, version):
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "DELETED":
                    self._see(event["object"])

    async def follow_jobs(self) -> None:
        version = self._version
        while True:
            async for event in self._door.watch(self._jobs, version):
                version = event["object"]["metadata"]["resourceVersion"]
                name = event["object"]["metadata"]["labels"][NAME_LABEL]
                if event["type"] == "ADDED":
                    self.jobs[name] += 1
                if has_ended(event["object"]):
                    self._complete.setdefault(name, time.monotonic())

    @property
    def live_jobs(self) -> int:
        return len(self.jobs) - len(self._complete)

    def twice(self) -> list[str]:
        """Those that have had more than one Job."""
        return [name for name, count in self.jobs.items() if count > 1]

    def _see(self, transcription: Document) -> None:
        name, state = transcription["metadata"]["name"], transcription.get("status", {}).get("state")
        self.names.add(name)
        if name in self.ends and state != self.ends[name]:
            self.changed.append(f"{name}: {self.ends[name]}, then {state}")
        if state in FINAL_STATES and name not in self.ends:
            self.ends[name] = State(state)
            if name in self._complete:
                self.latencies.append(time.monotonic() - self._complete[name])


def has_ended(job: Document) -> bool:
    conditions = job.get("status", {}).get("conditions") or []
    return any(one["type"] in {"Complete", "Failed"} and one["status"] == "True" for one in conditions)
