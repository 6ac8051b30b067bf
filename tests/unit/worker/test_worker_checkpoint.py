"""What a pod leaves for the next one: kept now and then, read back only by the same work, and never in the way."""

import gzip
import json
from typing import Any

import pytest

from crds.transcriptionjob import Source
from tests.support.worker_fakes import FakeClock, FakeKeeper, a_target, a_task
from worker.checkpoint import INTERVAL_SECONDS, PAUSE_FACTOR, Checkpoints, State, build_identity, build_key
from worker.errors import StorageUnavailableError

KEY = build_key(a_task())
STATE = State(30.0, [{"id": 0, "text": " Hello."}], {"prompt": [1, 2]})


def some_checkpoints(keeper: FakeKeeper, clock: FakeClock | None = None, identity: str | None = "work") -> Checkpoints:
    checkpoints = Checkpoints(keeper, KEY, clock or FakeClock())
    checkpoints.open(identity)
    return checkpoints


def a_full_keeper() -> FakeKeeper:
    keeper = FakeKeeper()
    checkpoints = some_checkpoints(keeper)
    checkpoints.save(STATE)
    checkpoints.flush()
    return keeper


def test_the_next_pod_finds_what_was_kept() -> None:
    checkpoints = some_checkpoints(a_full_keeper())
    assert checkpoints.load() == STATE
    assert checkpoints.resumed_seconds == 30


def test_nothing_is_found_when_nothing_was_kept() -> None:
    checkpoints = some_checkpoints(FakeKeeper())
    assert checkpoints.load() is None
    assert checkpoints.resumed_seconds == 0


@pytest.mark.parametrize("identity", ["other", None])
def test_a_checkpoint_of_other_work_is_ignored(identity: str | None) -> None:
    assert some_checkpoints(a_full_keeper(), identity=identity).load() is None


def test_a_checkpoint_is_ignored_when_it_lacks_what_the_engine_needs() -> None:
    checkpoints = some_checkpoints(a_full_keeper())
    assert checkpoints.load("prompt", "windows") is None
    assert checkpoints.resumed_seconds == 0
    assert checkpoints.load("prompt") == STATE


def some_damage() -> list[bytes]:
    whole = a_full_keeper().files[KEY]
    fields = {"identity": "work", "seek_seconds": 1, "segments": [], "engine": {}}
    wrong: list[Any] = [[], {}, fields | {"seek_seconds": None}, fields | {"segments": 3}, fields | {"engine": 3}]
    return [b"", b"{}", whole[:-9], whole[:20], *(gzip.compress(json.dumps(w).encode()) for w in wrong)]


@pytest.mark.parametrize("damaged", some_damage())
def test_a_checkpoint_is_ignored_when_it_is_damaged(damaged: bytes) -> None:
    assert some_checkpoints(FakeKeeper(files={KEY: damaged})).load() is None


def test_no_flipped_bit_changes_what_is_found() -> None:
    whole = a_full_keeper().files[KEY]
    for place in range(10, len(whole)):  # what stands before is gzip's header, with a time that nobody checks
        flipped = whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
        assert some_checkpoints(FakeKeeper(files={KEY: flipped})).load() in (None, STATE)


def test_it_is_kept_once_an_interval() -> None:
    clock, keeper = FakeClock(), FakeKeeper()
    checkpoints = some_checkpoints(keeper, clock)
    for _ in range(10):
        clock.seconds += INTERVAL_SECONDS / 4
        checkpoints.save(STATE)
    assert keeper.puts == 2


def test_it_is_kept_less_often_when_that_takes_long() -> None:
    class Slow(FakeKeeper):
        def put(self, key: str, body: bytes, content_type: str) -> None:
            super().put(key, body, content_type)
            clock.seconds += 7

    clock = FakeClock()
    keeper = Slow()
    checkpoints = some_checkpoints(keeper, clock)
    clock.seconds = INTERVAL_SECONDS
    checkpoints.save(STATE)
    clock.seconds += PAUSE_FACTOR * 7 - 1
    checkpoints.save(STATE)
    assert keeper.puts == 1
    clock.seconds += 1
    checkpoints.save(STATE)
    assert keeper.puts == 2


def test_the_newest_is_kept_when_the_process_ends() -> None:
    keeper = FakeKeeper()
    checkpoints = some_checkpoints(keeper)
    checkpoints.save(STATE)
    checkpoints.save(State(60.0, [], {}))
    assert keeper.puts == 0
    checkpoints.flush()
    checkpoints.flush()
    assert keeper.puts == 1
    assert some_checkpoints(keeper).load() == State(60.0, [], {})


def test_the_run_goes_on_when_nothing_can_be_kept() -> None:
    clock, keeper = FakeClock(), FakeKeeper(fault=StorageUnavailableError("away"))
    checkpoints = some_checkpoints(keeper, clock)
    assert checkpoints.load() is None
    clock.seconds = INTERVAL_SECONDS
    checkpoints.save(STATE)
    checkpoints.discard()
    assert keeper.puts == 1


def test_it_is_kept_later_when_it_could_not_be_at_first() -> None:
    clock, keeper = FakeClock(), FakeKeeper(fault=StorageUnavailableError("away"))
    checkpoints = some_checkpoints(keeper, clock)
    clock.seconds = INTERVAL_SECONDS
    checkpoints.save(STATE)
    keeper.fault = None
    checkpoints.flush()
    assert some_checkpoints(keeper).load() == STATE


def test_the_run_goes_on_when_the_state_is_no_json() -> None:
    checkpoints = some_checkpoints(FakeKeeper())
    checkpoints.save(State(1.0, [{"words": object()}], {}))
    checkpoints.flush()


def test_nothing_is_left_when_the_transcript_is_stored() -> None:
    keeper = a_full_keeper()
    checkpoints = some_checkpoints(keeper)
    checkpoints.save(STATE)
    checkpoints.discard()
    checkpoints.flush()
    checkpoints.save(STATE)
    checkpoints.flush()
    assert keeper.files == {}


def test_nothing_is_kept_when_the_input_may_change() -> None:
    keeper = FakeKeeper()
    checkpoints = some_checkpoints(keeper, identity=None)
    checkpoints.save(STATE)
    checkpoints.flush()
    assert keeper.puts == 0


def test_work_is_the_same_in_another_attempt_of_another_pod() -> None:
    again = a_task(target=a_target(attempt=2), result_prefix="transcripts/ns/talk/u1/2/")
    assert build_identity(again, "e") == build_identity(a_task(), "e")
    assert build_key(again) == build_key(a_task()) == "transcripts/ns/talk/u1/checkpoint.json.gz"


@pytest.mark.parametrize(
    "changes",
    [
        {"source": Source(bucket="media", key="videos/anonymous/talk.mp4", etag="abd")},
        {"model": "tiny"},
        {"language": "en"},
        {"task": "translate"},
        {"word_timestamps": True},
        {"initial_prompt": "Names:"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_work_is_other_when_input_or_options_differ(changes: dict[str, Any]) -> None:
    assert build_identity(a_task(**changes), "e") != build_identity(a_task(), "e")


def test_work_is_other_when_the_engine_differs() -> None:
    assert build_identity(a_task(), "a") != build_identity(a_task(), "b")


def test_work_has_no_identity_when_the_input_is_not_pinned() -> None:
    assert build_identity(a_task(source=Source(bucket="media", key="a.mp4")), "e") is None
