"""Whatever people, clusters and crashes do, in whatever order: the controller keeps its promises and comes to rest."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from controller.cache import is_active
from controller.conditions import final_state, is_suspended
from controller.views import JobView
from crds.transcriptionjob import SETTLED_LABEL, CallbackState, Transcription
from tests.support.controller_fakes import a_transcription
from tests.support.controller_operator import Crash, FakeOutbox
from tests.support.controller_world import (
    Leader,
    World,
    build_progress,
    build_result,
    build_row,
    render_words,
    work_side_by_side,
)

NAMES = ["clip", "other", "third"]
LIMITS = {"attempts": 3, "queueSeconds": 600, "runSeconds": 1200, "totalSeconds": 3600}
MOST_LOOKS = 400
NUMBERS = st.integers(0, 5)
OFTEN = st.sampled_from([True, True, True, False])
WISHES = ["cancel", "suspend", "suspend", "delete_outputs", "priority", "retries", "redeliveries", "delete"]
COUNTED = {"retries", "redeliveries"}
FAILURES = [65, 80, 96, 97, 137, 143, "Evicted", "UnexpectedAdmissionError", "DeadlineExceeded"]
ENDS = [*FAILURES, "lost", "preempted", "done", "done, with words"]
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "ttlSecondsAfterFinished": st.sampled_from([0, 60]),
        "deleteOutputs": st.just(True),
        "queueName": st.just("gpus"),
        "suspend": st.sampled_from([False, False, True]),
        "tenant": st.sampled_from(["a", "b"]),
    },
)


class Lives(RuleBasedStateMachine):
    """Up to three transcriptions, one controller or two."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World()
        self.outbox = FakeOutbox(self.world.clock, 200)
        self.leaders: list[Leader] = []
        self.made = 0
        self.options: dict[str, Any] = {}

    @initialize(
        max_active=st.sampled_from([0, 1, 2]), codes=st.lists(st.sampled_from([200, 500, 410, None]), max_size=3)
    )
    def begin(self, max_active: int, codes: list[int | None]) -> None:
        self.outbox = FakeOutbox(self.world.clock, *codes, 200)
        self.options = {"max_active": max_active, "callback_retry_schedule": (5, 60)}
        self._submit({})
        self._lead()

    def _lead(self) -> None:
        leader = Leader(self.world, self.outbox, **self.options)
        self.leaders.append(leader)
        self.world.is_alone = self.world.is_alone and len(self.leaders) == 1
        self.runner.run(leader.start())

    def _depose(self, leader: Leader) -> None:
        self.leaders.remove(leader)
        self.runner.run(leader.stop())

    def _pick(self, number: int) -> Transcription | None:
        there = list(self.world.transcriptions.values())
        return there[number % len(there)] if there else None

    # people

    def _submit(self, spec: dict[str, Any]) -> None:
        free = [name for name in NAMES if name not in self.world.transcriptions]
        if free:
            self.made += 1
            fresh = a_transcription(name=free[0], limits=LIMITS, **spec)
            changes = {"uid": f"{self.made:08d}-uid", "created": self.world.clock().replace(microsecond=0)}
            self.world.store(fresh.model_copy(update=changes))

    @rule(spec=SPECS, settles=OFTEN)
    def submit(self, spec: dict[str, Any], settles: bool) -> None:
        self._submit(spec)
        self._perhaps_settle(settles)

    @rule(number=NUMBERS, wish=st.sampled_from(WISHES), keeps_label=st.booleans(), settles=OFTEN)
    def ask(self, number: int, wish: str, keeps_label: bool, settles: bool) -> None:
        there = self._pick(number)
        if there is None:
            return
        before = getattr(there.spec, wish, None)
        after = "high" if wish == "priority" else before + 1 if wish in COUNTED else wish == "cancel" or not before
        if wish == "delete" and not there.is_deleting:
            self.world._remove(there)
        elif wish != "delete" and after != before:
            self.world.change_spec(there.name, keeps_label=keeps_label, **{wish: after})
        self._perhaps_settle(settles)

    # nodes, queues and workers

    @rule(settles=OFTEN)
    def pods_start(self, settles: bool) -> None:
        """Of all Jobs; queues admit theirs."""
        self._perhaps_settle(settles)
        for job in self.world.live_jobs():
            if job.is_suspended:
                self.world.suspend_job(job, False)
            self.world.start_pod(self.world.jobs[job.name])
        self._perhaps_settle(settles)

    @rule(number=NUMBERS, how=st.sampled_from(ENDS), again=st.integers(1, 4), settles=OFTEN)
    def pod_ends(self, number: int, how: int | str, again: int, settles: bool) -> None:
        """Perhaps again and again, as each new pod does."""
        live = self.world.live_jobs()
        for _ in range(again if live else 0):
            job = self.world.jobs.get(live[number % len(live)].name)
            if job is not None and job.ended is None:
                self.world.start_pod(job)
                self._end_pod(self.world.jobs[job.name], how)
                self._perhaps_settle(settles)

    def _end_pod(self, job: JobView, how: int | str) -> None:
        if how == "lost":
            self.world.lose_node(job)
        elif how == "preempted":
            self.world.suspend_job(job, True)
        elif isinstance(how, str) and how.startswith("done"):
            attempt = int(job.name.rpartition("-")[2])
            result = build_result(job.owner_uid or "", job.owner_name or "", attempt)
            self.world.end_pod(job, 0, words=render_words(result) if how == "done, with words" else None)
        elif isinstance(how, str):
            self.world.end_pod(job, None, how)
        else:
            self.world.end_pod(job, how)

    @rule(number=NUMBERS, percent=st.integers(0, 99))
    def worker_reports(self, number: int, percent: int) -> None:
        if (there := self._pick(number)) and there.status.attempt:
            attempt, before = there.status.attempt, there.status.progress
            known = before.percent or 0 if before is not None and before.attempt == attempt else 0
            self.world.patch_as_worker(there.uid, attempt, progress=build_progress(attempt, max(known, percent)))

    @rule(
        number=NUMBERS,
        back=st.sampled_from([0, 0, 0, 1, 2]),
        state=st.sampled_from(list(CallbackState)[:2]),
        settles=OFTEN,
    )
    def worker_stores(self, number: int, back: int, state: CallbackState, settles: bool) -> None:
        """Of this attempt or one before, by a pod that is there or on its way out."""
        if (there := self._pick(number)) and there.status.attempt > back:
            attempt = there.status.attempt - back
            result, row = build_result(there.uid, there.name, attempt), build_row(there.uid, attempt, state)
            self.world.patch_as_worker(there.uid, attempt, result=result, callback=row)
        self._perhaps_settle(settles)

    # watches, time and processes

    @rule(number=NUMBERS, how=st.sampled_from(["next", "last", "twice", "drop"]))
    def one_word_comes(self, number: int, how: str) -> None:
        leader = self.leaders[number % len(self.leaders)]
        if leader.watch and how == "drop":
            leader.miss(number % len(leader.watch))
        elif leader.watch:
            index = len(leader.watch) - 1 if how == "last" else number % len(leader.watch)
            if how == "twice":
                leader.take(*leader.watch[index])
            leader.hear(index)

    @rule(seconds=st.sampled_from([1, 6, 11, 31, 61, 301, 601]), settles=OFTEN)
    def time_passes(self, seconds: int, settles: bool) -> None:
        self.world.advance(seconds)
        self._perhaps_settle(settles)

    @rule(number=NUMBERS, hears=st.booleans())
    def work(self, number: int, hears: bool) -> None:
        leader = self.leaders[number % len(self.leaders)]
        if hears:
            leader.hear_all()
        self._work(leader)

    def _perhaps_settle(self, settles: bool) -> None:
        """All that has happened is heard and answered; by two leaders at the same time."""
        if settles and len(self.leaders) == 1:
            self._settle(self.leaders[0])
        elif settles and not self.world.crash_at:
            self.world.take_up_jobs()
            for leader in self.leaders:
                leader.hear_all()
            self.runner.run(work_side_by_side(self.leaders))

    def _settle(self, leader: Leader) -> None:
        self.world.take_up_jobs()
        leader.hear_all()
        if self._work(leader) and not (leader.loop.queue._failures or leader.watch or leader.has_missed):
            steps = self.runner.run(leader.find_steps())
            assert steps == []

    def _work(self, leader: Leader) -> bool:
        """Whether it lived on."""
        try:
            self.runner.run(leader.work())
        except Crash:
            self.world.has_crashed = False
            self._depose(leader)
            if not self.leaders:
                self._lead()
            return False
        return True

    @rule(number=NUMBERS)
    def resync(self, number: int) -> None:
        self.runner.run(self.leaders[number % len(self.leaders)].resync())

    @rule(ahead=st.integers(0, 3), when=st.sampled_from(["before", "after"]))
    def crash_is_near(self, ahead: int, when: str) -> None:
        self.world.crash_at = (len(self.world.writes) + ahead, when)

    @rule(coming=st.lists(st.sampled_from(["none", "before", "after"]), max_size=4))
    def answers_are_lost(self, coming: list[str]) -> None:
        self.world.faults.coming = coming

    @rule(is_second=st.booleans())
    def process_is_replaced(self, is_second: bool) -> None:
        """By another that knows nothing; or that one leads beside it for a while."""
        if is_second and len(self.leaders) == 1:
            self._lead()
            return
        self._depose(self.leaders[0])
        if not self.leaders:
            self._lead()

    # promises

    @invariant()
    def never_more_than_allowed(self) -> None:
        limit = self.options.get("max_active", 0)
        if limit and self.world.is_alone:
            assert sum(is_active(there) for there in self.world.transcriptions.values()) <= limit

    def teardown(self) -> None:
        try:
            if self.leaders:
                self._come_to_rest()
        finally:
            for leader in list(self.leaders):
                self._depose(leader)
            self.runner.close()

    def _come_to_rest(self) -> None:
        """Nothing happens any more but time: all is over, or rests, and nothing is left behind."""
        self.world.crash_at, self.world.faults.coming = None, []
        for leader in self.leaders[1:]:
            self._depose(leader)
        leader = self.leaders[0]
        self._settle(leader)  # a list that is older than words still on their way is mended by the next, minutes later
        for _ in range(MOST_LOOKS):
            self.runner.run(leader.resync())
            self._settle(leader)
            self._settle(leader)
            pause = leader.next_deadline
            if pause is None:
                break
            self.world.advance(max(pause, timedelta()).total_seconds())
        else:
            raise AssertionError("it never comes to rest")
        for there in self.world.transcriptions.values():
            self._judge_end(there)
        assert self.world.live_jobs() == []
        assert self.world.left_over() == []

    def _judge_end(self, there: Transcription) -> None:
        status = there.status
        if final_state(status) is None or there.spec.retries > status.retries:
            assert there.spec.suspend, f"{there.name} is {status.state}"
            assert final_state(status) or is_suspended(status)
            return
        assert status.settled
        assert status.observed_generation == there.generation
        assert (there.labels.get(SETTLED_LABEL) == "true") != there.spec.delete_outputs
        assert status.callback is None or status.callback.state is not CallbackState.PENDING


def run(examples: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks
        ),
    )


def test_promises_are_kept_and_it_comes_to_rest_whatever_happens() -> None:
    run(examples=100, steps=40)


@pytest.mark.soak
def test_promises_are_kept_and_it_comes_to_rest_whatever_happens_for_long() -> None:
    run(examples=5000, steps=80)
