"""A cluster that lives: jobs run pods, workers patch, watches lag. Controllers in front of it come, go and die."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from controller.conditions import final_state
from controller.errors import ControllerError, TransientError
from controller.loop import Loop
from controller.reconcile import decide
from controller.views import JobView, PodView
from crds.reasons import GPU_EXIT_CODES, PERMANENT_EXIT_CODES
from crds.transcriptionjob import CallbackRecord, CallbackState, Progress, Result, State, Transcription
from crds.worker import Outcome, build_callback_id, build_result_prefix
from tests.support.controller_fakes import a_pod
from tests.support.controller_operator import Crash, FakeCluster, FakeOutbox, Operator

BACKOFF_LIMIT = 6
JOB_TTL_SECONDS = 600
Event = tuple[str, Transcription | JobView]
"""What a watch says: MODIFIED or DELETED, and the object."""


@dataclass
class Faults:
    """What becomes of the next writes: answered, lost before or after they took effect."""

    coming: list[str] = field(default_factory=list)

    def next(self) -> str:
        return self.coming.pop(0) if self.coming else "none"


class World(FakeCluster):
    """Every change goes to all watches, and is judged by the rules of the schema."""

    def __init__(self) -> None:
        super().__init__()
        self.watches: list[list[Event]] = []
        self.faults = Faults()
        self.is_alone = True
        """Whether one controller at most has worked at any time."""
        self._made = 0
        self._taken_up: set[str] = set()
        self._expired: set[tuple[str, str | None]] = set()
        """Jobs that went by their TTL: nobody can tell how they ended who has not seen it before."""

    # what the API server does

    def store(self, transcription: Transcription) -> Transcription:
        before = self.transcriptions.get(transcription.name)
        stored = super().store(transcription)
        if before is not None and before.uid == stored.uid:
            judge_change(before, stored)
        self._tell("DELETED" if stored.labels else "MODIFIED", stored)
        return stored

    def forget(self, transcription: Transcription) -> None:
        jobs = [job for job in self.jobs.values() if job.owner_uid == transcription.uid]
        super().forget(transcription)
        self._tell("DELETED", transcription)
        for job in jobs:
            self._tell("DELETED", job)

    def change_job(self, name: str, **changes: Any) -> JobView:
        job = super().change_job(name, **changes)
        self._tell("MODIFIED", job)
        return job

    def _add_job(self, name: str, manifest: dict[str, Any]) -> None:
        owner_uid = manifest["metadata"]["ownerReferences"][0]["uid"]
        made = [(m["metadata"]["name"], m["metadata"]["ownerReferences"][0]["uid"]) for m in self.manifests]
        assert (name, owner_uid) not in made or (name, owner_uid) in self._expired, f"{name} is made again"
        if self.is_alone:
            live = [job.name for job in self.live_jobs() if job.owner_uid == owner_uid]
            assert not live, f"{name} is made while {live} live"
        super()._add_job(name, manifest)
        self._made += 1
        self.change_job(name, uid=f"job-{self._made}")

    async def patch_status(self, transcription: Transcription, patch: Mapping[str, Any]) -> Transcription:
        new = await super().patch_status(transcription, patch)
        assert new.status != transcription.status, "nothing was changed"
        return new

    async def delete_job(self, job: JobView) -> None:
        there = self.jobs.get(job.name)
        if there is not None and there.uid == job.uid:
            self._write("delete", lambda: self._tell("DELETED", self.jobs.pop(job.name)))

    def _write(self, name: str, act: Any) -> Any:
        fault = self.faults.next()
        if fault == "before":
            raise TransientError("the request is lost")
        done = super()._write(name, act)
        if fault == "after":
            raise TransientError("the answer is lost")
        return done

    def _tell(self, kind: str, thing: Transcription | JobView) -> None:
        for watch in self.watches:
            watch.append((kind, thing))

    # what people, kubelets and workers do

    def live_jobs(self) -> list[JobView]:
        return [job for job in self.jobs.values() if job.ended is None]

    def take_up_jobs(self) -> None:
        """The Job controller writes into the status of each new Job."""
        for job in self.live_jobs():
            if job.uid not in self._taken_up:
                self._taken_up.add(job.uid)
                self.change_job(job.name)

    def pod_at_work(self, job: JobView) -> PodView | None:
        return next((pod for pod in self.pods.get(job.name, ()) if not pod.is_over), None)

    def start_pod(self, job: JobView) -> None:
        if job.is_suspended or self.pod_at_work(job) is not None:
            return
        now, pods = self.clock(), self.pods.get(job.name, ())
        name = f"{job.name}-{len(pods)}"
        pod = a_pod(name=name, created=now, started=now, is_ready=True, node=f"node-{len(pods)}")
        self.pods[job.name] = (*pods, pod)
        self.change_job(job.name, ready=1)

    def end_pod(self, job: JobView, exit_code: int | None, reason: str | None = None, words: str | None = None) -> None:
        """As the Job controller counts it: what is named by the failure policy ends the Job, disruptions are free."""
        pod = self.pod_at_work(job)
        if pod is None:
            return
        phase = "Succeeded" if exit_code == 0 else "Failed"
        end = {"phase": phase, "exit_code": exit_code, "reason": reason, "finished": self.clock(), "is_ready": False}
        self._replace_pod(job, replace(pod, termination_message=words, **end))
        if exit_code == 0:
            self.change_job(job.name, ready=0, ended="Complete")
            return
        failed = job.failed + (reason != "Evicted")
        is_over = failed > BACKOFF_LIMIT or exit_code in {*PERMANENT_EXIT_CODES, *GPU_EXIT_CODES}
        self.change_job(job.name, ready=0, failed=failed, ended="Failed" if is_over else None)

    def lose_node(self, job: JobView) -> None:
        pod = self.pod_at_work(job)
        if pod is not None:
            self._replace_pod(job, replace(pod, is_ready=False))
            self.change_job(job.name, ready=0)

    def suspend_job(self, job: JobView, is_suspended: bool) -> None:
        """As Kueue admits and preempts: the pods of a suspended Job are deleted."""
        if is_suspended:
            self.pods.pop(job.name, None)
        self.change_job(job.name, is_suspended=is_suspended, ready=0)

    def _replace_pod(self, job: JobView, pod: PodView) -> None:
        others = [other for other in self.pods[job.name] if other.name != pod.name]
        self.pods[job.name] = (*others, pod)

    def patch_as_worker(self, uid: str, attempt: int, **changes: Any) -> bool:
        """Admitted for the present attempt of a transcription that has not ended."""
        for stored in list(self.transcriptions.values()):
            status = stored.status
            is_own = stored.uid == uid and status.attempt == attempt and final_state(status) is None
            if is_own and not (status.result and "result" in changes):
                self.change_status(stored.name, **changes)
                return True
        return False

    def advance(self, seconds: float) -> None:
        """Time passes: pods of Jobs that are gone are gone too, ended Jobs after their TTL."""
        self.clock.advance(seconds)
        self.pods = {name: pods for name, pods in self.pods.items() if name in self.jobs}
        for job in [job for job in self.jobs.values() if job.ended and seconds >= JOB_TTL_SECONDS]:
            self._expired.add((job.name, job.owner_uid))
            self._tell("DELETED", self.jobs.pop(job.name))


def judge_change(before: Transcription, after: Transcription) -> None:
    """The transition rules of the CRD."""
    old, new = before.status, after.status
    assert new.attempt >= old.attempt, "the attempt fell"
    assert old.result is None or new.result == old.result, "the result changed"
    end = final_state(old)
    if end is not None and final_state(new) is not end:
        assert end is State.FAILED, f"{end} was left for {new.state}"
        assert new.attempt > old.attempt, "a failure was left without another attempt"
    if final_state(new) is not None and new.result is not None:
        assert final_state(new) is State.SUCCEEDED, f"a result was stored, and it is {new.state}"


def build_result(uid: str, name: str, attempt: int) -> Result:
    key = build_result_prefix("ns", name, uid, attempt) + "transcript.json"
    return Result(key=key, sha256="0" * 64, bytes=10, formats=("json",))


def build_row(uid: str, attempt: int, state: CallbackState) -> CallbackRecord:
    return CallbackRecord(state=state, id=build_callback_id(uid, attempt), attempts=state is CallbackState.DELIVERED)


def build_progress(attempt: int, percent: int) -> Progress:
    return Progress(pod_uid="pod", attempt=attempt, percent=percent)


def render_words(result: Result) -> str:
    return Outcome(result=result).model_dump_json(by_alias=True, exclude_none=True)


class Leader:
    """A controller process with watches of its own, which tell it what happened when they are asked to."""

    def __init__(self, world: World, outbox: FakeOutbox, **settings: Any) -> None:
        self.world = world
        self.operator = Operator(world, world.clock, outbox, **settings)
        self.loop: Loop = self.operator.loop
        self.watch: list[Event] = []
        self.has_missed = False
        """Whether a word of a watch was lost since the last list."""
        self.surprises: list[BaseException] = []
        conclude = self.loop._conclude

        def note(name: str, error: BaseException | None) -> None:
            if error is not None and not isinstance(error, (ControllerError, Crash)):
                self.surprises.append(error)
            conclude(name, error)

        self.loop._conclude = note  # type: ignore[method-assign]
        world.watches.append(self.watch)

    async def start(self) -> None:
        await self.resync()

    async def stop(self) -> None:
        self.world.watches = [watch for watch in self.world.watches if watch is not self.watch]
        await self.loop._couriers.dismiss()

    async def resync(self) -> None:
        await self.loop._resync.relist()
        await self.loop._resync.find_asked()
        self.has_missed = False

    def miss(self, index: int) -> None:
        """A word of a watch is lost."""
        self.watch.pop(index)
        self.has_missed = True

    def hear(self, index: int) -> None:
        """One word of a watch, as the handlers take it."""
        kind, thing = self.watch.pop(index)
        self.take(kind, thing)

    def hear_all(self) -> None:
        while self.watch:
            self.hear(0)

    def take(self, kind: str, thing: Transcription | JobView) -> None:
        cache, queue = self.loop.cache, self.loop.queue
        if isinstance(thing, Transcription):
            if cache.drop(thing.name, thing.uid) if kind == "DELETED" else cache.put(thing):
                queue.add(thing.name)
            return
        if kind == "DELETED":
            cache.drop_job(thing.name, thing.uid)
        elif not cache.put_job(thing):
            return
        name, is_over = thing.owner_name or "", kind == "DELETED" or thing.ended is not None
        if not is_over or cache.get(name) is not None:
            queue.add(name)

    async def work(self) -> None:
        await self.operator.work()
        assert not self.surprises, self.surprises

    async def find_steps(self) -> list[str]:
        """What would be done again for those that it knows; nothing, when it has done its work.

        Pods that go are seen by no watch: one that waits for them to be gone looks again at its time.
        """
        found = []
        now = self.world.clock().replace(microsecond=0)
        for transcription in list(self.loop.cache.all()):
            if transcription.is_deleting and transcription.name in self.loop.queue._deadlines:
                continue
            seen = await self.loop._look(transcription)
            found += [f"{transcription.name}: {step}" for step in decide(seen, self.loop._policy, now).steps]
        return found

    @property
    def next_deadline(self) -> timedelta | None:
        """How long until it wants to look at something again."""
        queue = self.loop.queue
        times = [when for when, key in queue._heap if queue._deadlines.get(key) == when]
        return min(times) - self.world.clock() if times else None


async def work_side_by_side(leaders: list[Leader]) -> None:
    """Their steps mingle as the event loop has it."""
    await asyncio.gather(*(leader.work() for leader in leaders))
