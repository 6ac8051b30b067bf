"""A stand-in for Kueue: it admits suspended Jobs of a queue, and preempts those of less priority."""

from crds.transcriptionjob import QUEUE_LABEL
from tests.support.admin import Admin
from tests.support.kubectl import Manifest
from tests.support.waiting import wait_for


class StandInQueue:
    """One queue with so many places; like Kueue it touches nothing of a Job but `suspend`."""

    def __init__(self, admin: Admin, name: str, places: int) -> None:
        self._admin = admin
        self.name = name
        self._places = places
        self.preempted: list[str] = []

    def step(self) -> None:
        """One look: the first by priority and time get the places, others lose them."""
        jobs = sorted(self.jobs(), key=_rank)
        wanted = {job["metadata"]["name"] for job in jobs[: self._places]}
        for job in jobs:
            name, is_suspended = job["metadata"]["name"], job["spec"].get("suspend", False)
            if is_suspended == (name in wanted):
                self._admin.patch("jobs", name, {"spec": {"suspend": not is_suspended}})
                self.preempted += [] if is_suspended else [name]

    def until_admitted(self, job: str) -> None:
        """Look again and again until that Job has a place."""

        def look() -> bool:
            self.step()
            return any(j["metadata"]["name"] == job and not j["spec"].get("suspend") for j in self.jobs())

        wait_for(look, 20, f"Job {job} is admitted", 0.1)

    def jobs(self) -> list[Manifest]:
        """Those in the queue that have not ended."""
        found = self._admin.list("jobs", f"{QUEUE_LABEL}={self.name}")
        return [job for job in found if not _is_over(job)]


def _rank(job: Manifest) -> tuple[int, str, str]:
    is_high = str(job["spec"]["template"]["spec"].get("priorityClassName", "")).endswith(".high")
    return (0 if is_high else 1, job["metadata"]["creationTimestamp"], job["metadata"]["name"])


def _is_over(job: Manifest) -> bool:
    conditions = job["status"].get("conditions", [])
    ended = any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)
    return ended or "deletionTimestamp" in job["metadata"]
