"""What `kubectl describe` and `kubectl wait` tell: one Event for each thing that happens, conditions for each end."""

import json
import subprocess
from typing import Any

from crds.reasons import Reason
from crds.transcriptionjob import PLURAL, CallbackState, ConditionType, State
from tests.support.arena import Arena, build_fault, truth
from tests.support.kubectl import Manifest
from tests.support.receiver import Receiver
from tests.support.transcriptions import TJ
from tests.support.waiting import wait_for

DONE = ["Accepted", "JobCreated", "Started", "Completed"]


def wait_for_reasons(arena: Arena, name: str, reasons: list[str]) -> None:
    """These and no others, each once."""
    wait_for(lambda: set(arena.reasons(name)) >= set(reasons), 10, f"Events {reasons}")
    assert sorted(arena.reasons(name)) == sorted(reasons)


def test_each_event_comes_once_when_all_goes_well(arena: Arena) -> None:
    name = arena.ask("well")
    arena.finish(name, arena.run(name))
    wait_for_reasons(arena, name, DONE)
    told = json.loads(arena.kubectl.run("get", "events.events.k8s.io", "--output", "json"))["items"]
    ours = [event for event in told if event["regarding"]["name"] == name]
    assert {event["type"] for event in ours} == {"Normal"}
    assert all(event["reportingController"] == "transcription.ecg.dev/controller" for event in ours)
    assert "Completed" in arena.kubectl.run("describe", TJ, name)


def test_no_event_comes_twice_when_the_controller_is_killed(restartable: Arena) -> None:
    restartable.controller.start()
    name = restartable.ask("twice")
    pod = restartable.run(name)
    wait_for_reasons(restartable, name, DONE[:3])
    restartable.controller.start()
    restartable.finish(name, pod)
    wait_for_reasons(restartable, name, DONE)


def test_warnings_come_when_an_attempt_is_lost_and_the_next_one_fails(arena: Arena) -> None:
    name = arena.ask("unlucky")
    arena.node.end(arena.run(name), 96)
    arena.node.end(arena.run(name, 2), 65, build_fault(Reason.NO_AUDIO, "No audio."))
    arena.until_settled(name)
    twice = ["JobCreated", "Started"]
    wait_for_reasons(arena, name, ["Accepted", *twice, "Retrying", *twice, "Failed"])
    warnings = {event["reason"]: event["note"] for event in arena.events(name) if event["type"] == "Warning"}
    assert warnings["Failed"] == "NoAudio: No audio."
    assert set(warnings) == {"Retrying", "Failed"}


def test_events_tell_of_suspension_resumption_and_cancellation(arena: Arena) -> None:
    name = arena.ask("to-and-fro")
    arena.run(name)
    arena.change(name, suspend=True)
    arena.until_state(name, State.SUSPENDED)
    arena.change(name, suspend=False)
    arena.run(name, 2)
    arena.change(name, cancel=True)
    arena.until_settled(name)
    twice = ["JobCreated", "Started"]
    wait_for_reasons(arena, name, ["Accepted", *twice, "Suspended", "Resumed", *twice, "Cancelled"])


def test_a_warning_comes_when_the_callback_is_given_up(arena: Arena) -> None:
    with Receiver("127.0.0.1", answers=[503] * 9) as receiver:
        receiver.open()
        name = arena.ask("unheard", callback={"url": receiver.url})
        arena.node.end(arena.run(name), 65, build_fault(Reason.NO_AUDIO, "No audio."))
        status = arena.until_settled(name)
    assert status.callback is not None
    assert (status.callback.state, status.callback.attempts) == (CallbackState.FAILED, 3)
    wait_for_reasons(arena, name, [*DONE[:3], "Failed", "CallbackFailed"])
    assert truth(status, ConditionType.CALLBACK_DELIVERED) == "False"


def test_wait_for_finished_ends_for_every_outcome(arena: Arena) -> None:
    names = {state: arena.ask(state.lower()) for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)}
    pods = {state: arena.run(name) for state, name in names.items()}
    targets = [f"{TJ}/{name}" for name in names.values()]
    words = arena.kubectl.words("wait", "--for=condition=Finished", "--timeout=60s", *targets)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as waiting:
        arena.finish(names[State.SUCCEEDED], pods[State.SUCCEEDED])
        arena.node.end(pods[State.FAILED], 65)
        arena.change(names[State.CANCELLED], cancel=True)
        said = waiting.communicate(timeout=90)[0]
    assert waiting.returncode == 0
    assert said.count("condition met") == len(names)
    assert {state: arena.read(name).status.state for state, name in names.items()} == {s: s for s in names}


def test_kstatus_is_in_progress_until_the_job_exists_then_current(arena: Arena) -> None:
    name = arena.ask("kstatus")
    with arena.kubectl.watch(TJ, name) as watch:
        arena.finish(name, arena.run(name))
        watch.until(lambda seen: seen.get("status", {}).get("settled"), 20, "it is settled")
    assert all(find_kstatus(seen) == "InProgress" for seen in watch.seen if "jobRef" not in seen.get("status", {}))
    told = [find_kstatus(seen) for seen in watch.seen]
    assert told[0] == "InProgress"
    assert told == sorted(told, key=["InProgress", "Current"].index)


def test_kstatus_is_failed_when_it_failed_and_current_when_it_was_cancelled(arena: Arena) -> None:
    failed, cancelled = arena.ask("kstatus-bad"), arena.ask("kstatus-off", cancel=True)
    arena.node.end(arena.run(failed), 65)
    arena.until_settled(failed)
    arena.until_settled(cancelled)
    assert find_kstatus(arena.admin.get(PLURAL, failed)) == "Failed"
    assert find_kstatus(arena.admin.get(PLURAL, cancelled)) == "Current"


def find_kstatus(seen: Manifest | None) -> str:
    """The rules for any resource: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md"""
    assert seen is not None
    status: dict[str, Any] = seen.get("status", {})
    conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
    if status.get("observedGeneration", -1) != seen["metadata"]["generation"]:
        return "InProgress"
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    return "Failed" if conditions.get("Stalled") == "True" else "Current"


def test_the_metrics_endpoint_tells_what_has_happened(arena: Arena) -> None:
    def read() -> tuple[int, int, int]:
        measure = arena.controller.measure
        return (
            measure("finished_total", 'state="Succeeded"'),
            measure("finished_total", 'state="Failed"', f'reason="{Reason.NO_AUDIO}"'),
            measure("reconcile_total", 'result="ok"'),
        )

    before = read()
    good, bad = arena.ask("counted"), arena.ask("counted")
    arena.finish(good, arena.run(good))
    arena.node.end(arena.run(bad), 65, build_fault(Reason.NO_AUDIO, "No audio."))
    arena.until_settled(bad)
    after = wait_for(lambda: (now := read())[:2] == (before[0] + 1, before[1] + 1) and now, 10, "both are counted")
    assert after[2] > before[2]
