"""Attempts: each has a Job of its own. The statuses that start, follow and interrupt one. Pure; called by reconcile."""

from datetime import datetime

from controller.conditions import drop_condition, enter
from controller.views import JobView, PodView
from crds.reasons import WAITING, Reason, WaitingReason
from crds.transcriptionjob import ConditionType, Failure, JobRef, State, Status, Transcription
from crds.worker import build_job_name

ELSEWHERE = {Reason.GPU_FAULT, Reason.GPU_OUT_OF_MEMORY, Reason.NODE_REFUSED, Reason.STALE_HEARTBEAT}
"""Failures of the place, not of the file: another attempt may do better on another node."""

MOST_AVOIDED = 10


def is_recoverable(transcription: Transcription, failure: Failure) -> bool:
    """Whether the controller makes another attempt by itself."""
    return failure.reason in ELSEWHERE and transcription.status.tries < transcription.spec.limits.attempts


def start(transcription: Transcription, now: datetime) -> Status:
    """The next attempt, on record before its Job exists, so that a Job is never made twice."""
    attempt = transcription.status.attempt + 1
    status = enter(transcription, State.PENDING, "Accepted: the Job is being created.", "Pending", now)
    return drop_condition(status, ConditionType.CALLBACK_DELIVERED).model_copy(
        update={
            "attempt": attempt,
            "tries": max(status.tries, 1),
            "replacements": 0,
            "retries": status.retries if status.attempt else transcription.spec.retries,
            "redeliveries": transcription.spec.redeliveries,
            "job_ref": JobRef(name=build_job_name(transcription.name, attempt)),
            **dict.fromkeys(("waiting_reason", "settled", "pod_name", "start_time", "completion_time")),
            **dict.fromkeys(("failure", "callback")),
        }
    )


def start_afresh(transcription: Transcription, now: datetime) -> Status:
    """The first attempt after a user's retry: what the last ones cost is forgiven."""
    asked = transcription.spec.retries
    return start(transcription, now).model_copy(update={"tries": 1, "avoid_nodes": (), "retries": asked})


def start_elsewhere(transcription: Transcription, failed: PodView | None, now: datetime) -> Status:
    """The attempt after a failure of the place: charged, and better on another node."""
    before = transcription.status
    nodes = dict.fromkeys(before.avoid_nodes)
    if failed is not None and failed.node is not None:
        nodes[failed.node] = None
    return start(transcription, now).model_copy(
        update={"tries": before.tries + 1, "avoid_nodes": tuple(nodes)[-MOST_AVOIDED:]}
    )


def run(transcription: Transcription, job: JobView, pod: str | None, now: datetime) -> Status:
    """A pod is at work."""
    before = transcription.status
    status = enter(transcription, State.RUNNING, "Running: the worker's pod is at work.", "PodReady", now)
    is_another = pod is not None and before.pod_name not in (None, pod)
    return status.model_copy(
        update={
            "waiting_reason": None,
            "job_ref": JobRef(name=job.name, uid=job.uid),
            "pod_name": pod or before.pod_name,
            "replacements": before.replacements + is_another,
            "start_time": before.start_time or now,
        }
    )


def wait_for_pod(transcription: Transcription, job: JobView, why: WaitingReason, now: datetime) -> Status:
    """The Job is there and no pod of it is ready. One that was suspended from outside starts its run anew."""
    state = State.QUEUED if job.is_suspended else State.STARTING
    status = enter(transcription, state, WAITING[why], why, now)
    return status.model_copy(
        update={
            "waiting_reason": why,
            "job_ref": JobRef(name=job.name, uid=job.uid),
            "start_time": None if job.is_suspended else status.start_time,
            "pod_name": None if job.is_suspended else status.pod_name,
        }
    )


def suspend(transcription: Transcription, now: datetime) -> Status:
    """It rests on request; the attempt is over, and going on makes the next one."""
    why = WaitingReason.SUSPENDED
    status = enter(transcription, State.SUSPENDED, WAITING[why], why, now)
    gone = dict.fromkeys(("job_ref", "pod_name", "start_time"))
    return status.model_copy(update={"waiting_reason": why, **gone})
