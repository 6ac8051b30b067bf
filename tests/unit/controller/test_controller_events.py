"""One Event for each thing that happens, by a name that is the same from every process."""

from datetime import timedelta
from typing import Any

import pytest

from controller.conditions import enter
from controller.delivery import build_record
from controller.events import NOTE_BYTES, Notice, build_event, find_notices, find_recent_notices
from controller.outcome import build_failure
from controller.reconcile import decide
from crds.reasons import Reason
from crds.transcriptionjob import CallbackState, State, Status, Transcription
from tests.support.controller_fakes import (
    NOW,
    SILENT,
    UID,
    a_failed_pod,
    a_job,
    a_pod,
    a_transcription,
    apply_status,
    final,
    seen,
)

LATER = NOW + timedelta(hours=1)
FAILED = a_job(ended="Failed", failed=1)


def step(transcription: Transcription, **facts: Any) -> tuple[Transcription, list[str]]:
    """One decision: the transcription after it, and what there is to tell."""
    after = apply_status(transcription, decide(seen(transcription, **facts), SILENT, LATER).steps)
    return after, [notice.reason for notice in find_notices(transcription.status, after.status)]


def change(transcription: Transcription, **spec: Any) -> Transcription:
    return transcription.model_copy(update={"spec": transcription.spec.model_copy(update=spec)})


def test_each_thing_is_told_once_in_a_life_with_a_recovery_and_a_retry() -> None:
    told: list[list[str]] = []
    transcription = a_transcription()
    for facts in (
        {},
        {"job": a_job(ready=1), "pods": (a_pod(is_ready=True),)},
        {"job": FAILED, "pods": (a_failed_pod(96, node="gpu-1"),)},
        {"job": a_job(name="clip-2", ready=1)},
        {"job": FAILED, "pods": (a_failed_pod(65),)},
    ):
        transcription, reasons = step(transcription, **facts)
        told.append(reasons)
    transcription, reasons = step(change(transcription, retries=1))
    told.append(reasons)
    started = ["JobCreated", "Started"]
    assert told == [["Accepted"], started, ["Retrying"], started, ["Failed"], ["Retrying"]]
    assert find_notices(transcription.status, transcription.status) == []


def test_suspension_and_its_end_are_told_even_when_it_waits_in_line_between_them() -> None:
    running, _ = step(a_transcription(Status(attempt=1)), job=a_job(ready=1))
    suspended, told = step(change(running, suspend=True), job=a_job(ready=1))
    assert told == ["Suspended"]
    in_line, told = step(change(suspended, suspend=False), has_place=False)
    assert told == []
    _, told = step(in_line)
    assert told == ["Resumed"]
    _, told = step(change(suspended, suspend=False))
    assert told == ["Resumed"]


def test_cancel_is_told_when_it_came_first() -> None:
    assert step(a_transcription(cancel=True))[1] == ["Accepted", "Cancelled"]


def test_given_up_callback_is_told() -> None:
    before = final(State.CANCELLED, callback=build_record("msg", NOW))
    given_up = build_record("msg", NOW).model_copy(update={"state": CallbackState.FAILED})
    after = before.model_copy(update={"callback": given_up})
    assert [n.reason for n in find_notices(before, after)] == ["CallbackFailed"]


def test_only_what_happened_a_moment_ago_is_told_again() -> None:
    running = enter(a_transcription(Status(attempt=2)), State.RUNNING, "At work.", "PodReady", NOW)
    assert [n.reason for n in find_recent_notices(running, NOW)] == ["Accepted", "Started"]
    ended = enter(a_transcription(running), State.CANCELLED, "Stopped.", "Cancelled", LATER)
    assert [n.reason for n in find_recent_notices(ended, LATER)] == ["Cancelled"]
    assert find_recent_notices(ended, LATER + timedelta(minutes=2)) == []
    assert find_recent_notices(Status(), NOW) == []


def test_given_up_callback_is_told_again_when_it_was_a_moment_ago() -> None:
    record = build_record("msg", NOW).model_copy(update={"state": CallbackState.FAILED, "last_attempt_time": LATER})
    status = final(State.CANCELLED, callback=record)
    assert [n.reason for n in find_recent_notices(status, LATER)] == ["CallbackFailed"]
    assert find_recent_notices(status, LATER + timedelta(minutes=2)) == []


@pytest.mark.parametrize(
    ("reason", "name"), [("Started", "clip.11111111.2-started"), ("Accepted", "clip.11111111.0-accepted")]
)
def test_name_is_the_same_whoever_posts_it(reason: str, name: str) -> None:
    transcription = a_transcription(Status(attempt=2))
    events = [build_event(transcription, Notice(reason, "note"), who, NOW) for who in ("one", "two")]
    assert {event["metadata"]["name"] for event in events} == {name}


def test_event_is_as_events_k8s_io_wants_it() -> None:
    event = build_event(a_transcription(Status(attempt=1)), Notice("Failed", "x"), "pod-1", NOW)
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "clip.11111111.1-failed", "namespace": "ns"},
        "eventTime": "2026-01-02T03:04:05.000000Z",
        "reportingController": "transcription.ecg.dev/controller",
        "reportingInstance": "pod-1",
        "action": "Failed",
        "reason": "Failed",
        "type": "Warning",
        "note": "x",
        "regarding": {
            "apiVersion": "transcription.ecg.dev/v1alpha1",
            "kind": "TranscriptionJob",
            "name": "clip",
            "namespace": "ns",
            "uid": UID,
        },
    }


def test_note_fits_when_the_failure_is_told_in_another_script() -> None:
    failure = build_failure(Reason.UNREADABLE_MEDIA, "한" * 512)
    note = find_notices(Status(attempt=1), final(State.FAILED, failure=failure))[-1]
    event = build_event(a_transcription(), note, "pod-1", NOW)
    assert len(event["note"].encode()) in range(NOTE_BYTES - 2, NOTE_BYTES + 1)
