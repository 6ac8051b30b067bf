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
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "ttlSecondsAfterFinished": st.sampled_from([0, 60]),
        "deleteOutputs": st.just(True),
        "queueName": st.just("gpus"),
        "suspend": st.just(True),
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

    @rule(spec=SPECS)
    def submit(self, spec: dict[str, Any]) -> None:
        free = [name for name in NAMES if name not in self.world.transcriptions]
        if not free:
            return
        self.made += 1
        fresh = a_transcription(name=free[0], limits=LIMITS, **spec)
        changes = {"uid": f"{self.made:08d}-uid", "created": self.world.clock().replace(microsecond=0)}
        self.world.store(fresh.model_copy(update=changes))

    @rule(number=NUMBERS, keeps_label=st.booleans(), wish=st.sampled_from(["suspend", "deleteOutputs"]))
    def toggle(self, number: int, keeps_label: bool, wish: str) -> None:
        if (there := self._pick(number)) is not None:
            field = {"suspend": "suspend", "deleteOutputs": "delete_outputs"}[wish]
            self.world.change_spec(there.name, keeps_label=keeps_label, **{field: not getattr(there.spec, field)})

    @rule(number=NUMBERS, keeps_label=st.booleans(), wish=st.sampled_from(["retries", "redeliveries"]))
    def ask_again(self, number: int, keeps_label: bool, wish: str) -> None:
        if (there := self._pick(number)) is not None:
            self.world.change_spec(there.name, keeps_label=keeps_label, **{wish: getattr(there.spec, wish) + 1})

    @rule(number=NUMBERS, keeps_label=st.booleans(), wish=st.sampled_from([{"cancel": True}, {"priority": "high"}]))
    def change(self, number: int, keeps_label: bool, wish: dict[str, Any]) -> None:
        there = self._pick(number)
        if there is not None and any(getattr(there.spec, key) != value for key, value in wish.items()):
            self.world.change_spec(there.name, keeps_label=keeps_label, **wish)

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        if (there := self._pick(number)) is not None and not there.is_deleting:
            self.world._remove(there)

    # nodes, queues and workers

    def _pick_job(self, number: int) -> Any:
        live = self.world.live_jobs()
        return live[number % len(live)] if live else None

    @rule(number=NUMBERS)
    def pod_starts(self, number: int) -> None:
        if job := self._pick_job(number):
            self.world.start_pod(job)

    @rule(number=NUMBERS, exit_code=st.sampled_from([65, 80, 85, 96, 97, 137, 143]))
    def pod_fails(self, number: int, exit_code: int) -> None:
        if job := self._pick_job(number):
            self.world.end_pod(job, exit_code)

    @rule(number=NUMBERS, reason=st.sampled_from(["Evicted", "UnexpectedAdmissionError", "DeadlineExceeded"]))
    def pod_is_stopped(self, number: int, reason: str) -> None:
        if job := self._pick_job(number):
            self.world.end_pod(job, None, reason)

    @rule(number=NUMBERS)
    def node_is_lost(self, number: int) -> None:
        if job := self._pick_job(number):
            self.world.lose_node(job)

    @rule(number=NUMBERS)
    def queue_decides(self, number: int) -> None:
        if job := self._pick_job(number):
            self.world.suspend_job(job, not job.is_suspended)

    @rule(number=NUMBERS, percent=st.integers(0, 99))
    def worker_reports(self, number: int, percent: int) -> None:
        if (there := self._pick(number)) and there.status.attempt:
            attempt, before = there.status.attempt, there.status.progress
            known = before.percent or 0 if before is not None and before.attempt == attempt else 0
            self.world.patch_as_worker(there.uid, attempt, progress=build_progress(attempt, max(known, percent)))

    @rule(number=NUMBERS, back=st.integers(0, 2), state=st.sampled_from(list(CallbackState)[:2]))
    def worker_stores(self, number: int, back: int, state: CallbackState) -> None:
        """Of this attempt or one before, by a pod that is there or on its way out."""
        if (there := self._pick(number)) and there.status.attempt > back:
            attempt = there.status.attempt - back
            result, row = build_result(there.uid, there.name, attempt), build_row(there.uid, attempt, state)
            self.world.patch_as_worker(there.uid, attempt, result=result, callback=row)

    @rule(number=NUMBERS, has_words=st.booleans())
    def worker_ends_well(self, number: int, has_words: bool) -> None:
        if job := self._pick_job(number):
            attempt = int(job.name.rpartition("-")[2])
            result = build_result(job.owner_uid, job.owner_name, attempt)
            self.world.end_pod(job, 0, words=render_words(result) if has_words else None)

    # watches, time and processes

    @rule(number=NUMBERS, how=st.sampled_from(["next", "last", "twice", "drop"]))
    def one_word_comes(self, number: int, how: str) -> None:
        leader = self.leaders[number % len(self.leaders)]
        if leader.watch and how == "drop":
            leader.watch.pop(number % len(leader.watch))
        elif leader.watch:
            index = len(leader.watch) - 1 if how == "last" else number % len(leader.watch)
            if how == "twice":
                leader.take(*leader.watch[index])
            leader.hear(index)

    @rule(number=NUMBERS)
    def all_words_come(self, number: int) -> None:
        self.leaders[number % len(self.leaders)].hear_all()

    @rule(seconds=st.sampled_from([1, 11, 31, 61, 301, 601, 3601]))
    def time_passes(self, seconds: int) -> None:
        self.world.advance(seconds)

    @rule(number=NUMBERS)
    def work(self, number: int) -> None:
        self._work(self.leaders[number % len(self.leaders)])

    @rule()
    def work_side_by_side(self) -> None:
        if not self.world.crash_at:
            self.runner.run(work_side_by_side(self.leaders))

    @rule()
    def work_with_all_words(self) -> None:
        if len(self.leaders) == 1:
            self._settle(self.leaders[0])

    def _settle(self, leader: Leader) -> None:
        leader.hear_all()
        if self._work(leader) and not leader.loop.queue._failures and not leader.watch:
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
        for _ in range(MOST_LOOKS):
            self.runner.run(leader.resync())
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
    run(examples=60, steps=40)


@pytest.mark.soak
def test_promises_are_kept_and_it_comes_to_rest_whatever_happens_for_long() -> None:
    run(examples=5000, steps=80)
