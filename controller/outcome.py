"""How a Job ended, and why one waits: Job and pods to result, failure or waiting reason. Pure; called by reconcile."""

import math
import re
from collections.abc import Sequence

from pydantic import ValidationError

from controller.views import JobView, PodView
from crds.reasons import GPU_EXIT_CODES, REASONS, TRANSIENT_EXIT_CODES, ExitCode, Reason, WaitingReason
from crds.transcriptionjob import FORMATS, Failure, Result, Transcription
from crds.worker import Outcome, build_result_prefix

SIGKILL_EXIT_CODE = 137
MESSAGE_LENGTH = 512
LANGUAGE_LENGTH = 8

REASON_OF_EXIT_CODE = {
    int(ExitCode.BAD_TASK): Reason.INVALID_TASK,
    int(ExitCode.BAD_MEDIA): Reason.UNREADABLE_MEDIA,
    int(ExitCode.INPUT_MISSING): Reason.INPUT_NOT_FOUND,
    int(ExitCode.INPUT_CHANGED): Reason.INPUT_CHANGED,
    int(ExitCode.INPUT_DENIED): Reason.INPUT_DENIED,
    int(ExitCode.MODEL_UNKNOWN): Reason.MODEL_UNKNOWN,
    int(ExitCode.RESULT_DENIED): Reason.RESULT_DENIED,
    int(ExitCode.STORAGE_UNAVAILABLE): Reason.STORAGE_UNAVAILABLE,
    int(ExitCode.MODEL_UNAVAILABLE): Reason.MODEL_UNAVAILABLE,
    int(ExitCode.SANDBOX_UNAVAILABLE): Reason.SANDBOX_UNAVAILABLE,
    int(ExitCode.GPU_OUT_OF_MEMORY): Reason.GPU_OUT_OF_MEMORY,
    int(ExitCode.TERMINATED): Reason.WORKER_TERMINATED,
    SIGKILL_EXIT_CODE: Reason.WORKER_TERMINATED,
    **dict.fromkeys((c for c in TRANSIENT_EXIT_CODES if c not in {80, 81}), Reason.INTERNAL_ERROR),
    **dict.fromkeys((c for c in GPU_EXIT_CODES if c not in {97, 98}), Reason.GPU_FAULT),
}

MOST_REFUSALS = 3
"""So many pods in a row that nodes refused, and the Job's own pauses between them only cost time."""

REASON_OF_POD = {
    "DeadlineExceeded": Reason.RUN_DEADLINE_EXCEEDED,
    "Evicted": Reason.TOO_MANY_DISRUPTIONS,
    "NodeLost": Reason.TOO_MANY_DISRUPTIONS,
    "NodeShutdown": Reason.TOO_MANY_DISRUPTIONS,
    "Shutdown": Reason.TOO_MANY_DISRUPTIONS,
    "Terminated": Reason.TOO_MANY_DISRUPTIONS,
    "Preempting": Reason.TOO_MANY_DISRUPTIONS,
    "UnexpectedAdmissionError": Reason.NODE_REFUSED,
    "NodeAffinity": Reason.NODE_REFUSED,
    "TopologyAffinityError": Reason.NODE_REFUSED,
}

WAITING_OF_CONTAINER = {
    "ErrImagePull": WaitingReason.IMAGE_PULL,
    "ImagePullBackOff": WaitingReason.IMAGE_PULL,
    "ErrImageNeverPull": WaitingReason.IMAGE_PULL,
    "InvalidImageName": WaitingReason.IMAGE_PULL,
    "ImageInspectError": WaitingReason.IMAGE_PULL,
    "RegistryUnavailable": WaitingReason.IMAGE_PULL,
    "CreateContainerConfigError": WaitingReason.CONTAINER_CONFIG,
    "CreateContainerError": WaitingReason.CONTAINER_CONFIG,
    "RunContainerError": WaitingReason.CONTAINER_CONFIG,
}


def judge(transcription: Transcription, job: JobView, pods: Sequence[PodView]) -> Result | Failure | None:
    """The result or the failure of a Job that has ended; None while it goes on."""
    if job.ended == "Complete":
        return find_result(transcription, pods) or build_failure(Reason.RESULT_MISSING)
    if job.ended == "Failed":
        return find_result(transcription, pods) or _classify(job, pods)
    return _find_overrun(pods) or _find_refusals(pods)


def build_failure(reason: Reason, message: str | None = None, exit_code: int | None = None) -> Failure:
    """A failure with its reason's own sentence, or a better one."""
    info = REASONS[reason]
    text = (message or info.message)[:MESSAGE_LENGTH]
    return Failure(reason=reason, message=text, retryable=info.retryable, exit_code=exit_code)


def explain_waiting(job: JobView, pods: Sequence[PodView], refusal: str | None) -> WaitingReason:
    """Why no pod of a live Job is ready."""
    if job.is_suspended:
        return WaitingReason.JOB_SUSPENDED
    if refusal is not None:
        return WaitingReason.QUOTA if "exceeded quota" in refusal else WaitingReason.POD_REFUSED
    for pod in sorted(pods, key=lambda p: p.created, reverse=True):
        if pod.is_unschedulable:
            return WaitingReason.UNSCHEDULABLE
        if pod.waiting_reason in WAITING_OF_CONTAINER:
            return WAITING_OF_CONTAINER[pod.waiting_reason]
    return WaitingReason.STARTING


def _find_overrun(pods: Sequence[PodView]) -> Failure | None:
    """A pod that ran out of time is counted and replaced by its Job; one such pod is the end of the attempt."""
    if any(REASON_OF_POD.get(pod.reason or "") is Reason.RUN_DEADLINE_EXCEEDED for pod in pods):
        return build_failure(Reason.RUN_DEADLINE_EXCEEDED)
    return None


def _find_refusals(pods: Sequence[PodView]) -> Failure | None:
    """A node that refuses pods does so again: Kubernetes would make them for it one after the other."""
    last = sorted(pods, key=lambda p: p.created)[-MOST_REFUSALS:]
    refused = [pod for pod in last if pod.phase == "Failed" and _reason_of(pod) is Reason.NODE_REFUSED]
    return build_failure(Reason.NODE_REFUSED) if len(refused) == MOST_REFUSALS else None


def find_result(transcription: Transcription, pods: Sequence[PodView]) -> Result | None:
    """What a pod of this attempt has stored, by its last words."""
    outcomes = (_parse_outcome(pod) for pod in sorted(pods, key=lambda p: p.age_key))
    results = (outcome.result for outcome in outcomes if outcome and outcome.result)
    return next((result for result in results if _is_own(transcription, result)), None)


def build_result_key(transcription: Transcription) -> str:
    """Where the present attempt stores its transcript."""
    t = transcription
    return build_result_prefix(t.namespace, t.name, t.uid, t.status.attempt) + "transcript.json"


def _is_own(transcription: Transcription, result: Result) -> bool:
    """Whether it points to this attempt's transcript, and the schema takes it: the worker's word is no proof."""
    numbers = (result.bytes, result.duration_seconds or 0, result.segments or 0)
    return (
        result.key == build_result_key(transcription)
        and re.fullmatch("[0-9a-f]{64}", result.sha256) is not None
        and len(result.formats) <= len(FORMATS)
        and len(result.language or "") <= LANGUAGE_LENGTH
        and all(math.isfinite(number) and 0 <= number < 2**63 for number in numbers)
    )


def _classify(job: JobView, pods: Sequence[PodView]) -> Failure:
    """A Job's own deadline is that of the whole; the pods that it ended tell nothing."""
    if job.ended_reason == "DeadlineExceeded":
        return build_failure(Reason.TOTAL_DEADLINE_EXCEEDED)
    failed = [pod for pod in pods if pod.phase == "Failed"]
    if not failed:
        return build_failure(Reason.WORKER_FAILED)
    last = max(failed, key=lambda p: p.age_key)
    outcome = _parse_outcome(last)
    if outcome and outcome.failure:
        return build_failure(outcome.failure.reason, outcome.failure.message, last.exit_code)
    return build_failure(_reason_of(last), exit_code=last.exit_code)


def _reason_of(pod: PodView) -> Reason:
    if pod.exit_reason == "OOMKilled":
        return Reason.OUT_OF_MEMORY
    if pod.reason in REASON_OF_POD:
        return REASON_OF_POD[pod.reason]
    if (pod.reason or "").startswith("OutOf"):
        return Reason.NODE_REFUSED
    if pod.exit_code is None:
        return Reason.NODE_REFUSED if pod.reason else Reason.WORKER_FAILED
    return REASON_OF_EXIT_CODE.get(pod.exit_code, Reason.WORKER_FAILED)


def _parse_outcome(pod: PodView) -> Outcome | None:
    if not pod.termination_message:
        return None
    try:
        return Outcome.model_validate_json(pod.termination_message)
    except ValidationError:
        return None
