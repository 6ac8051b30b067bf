"""What to do next with a transcription: decide() is a function of what is seen, and does nothing itself.

Called by the loop with the resource, its Jobs and pods. It decides by conditions and facts, never by `state`, and asks
for nothing twice: deciding again on its own outcome gives no steps.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from controller import attempts, ending
from controller.conditions import enter, final_state, is_running
from controller.deadlines import find_deadline
from controller.decision import CreateJob, Decision, PatchStatus, Policy, Seen, Step, Unsettle
from controller.outcome import build_failure, explain_waiting, find_result, judge
from controller.retention import part, tend_finalizer
from controller.views import JobView, PodView
from crds.gpus import explain_misfit
from crds.reasons import WAITING, Reason, WaitingReason
from crds.transcriptionjob import Failure, Result, State, Status, Transcription

FIRST_LOOK = timedelta(seconds=10)
PLAIN_START = timedelta(seconds=30)
"""So long a pod may be on its way without a word of it in the status: most are there by then, and it costs a write."""

LONGEST_LOOK = timedelta(minutes=5)
MOST_DISRUPTIONS = 20
TURBO_MODELS = {"turbo", "large-v3-turbo"}
IMPOSSIBLE = "Turbo models cannot translate: use large-v3, or task transcribe."


def needs_job(seen: Seen) -> bool:
    """Whether an attempt is on record whose Job is not there."""
    status = seen.transcription.status
    return status.has_attempt and seen.job is None and final_state(status) is None


def needs_pods(transcription: Transcription, job: JobView | None, now: datetime) -> bool:
    """Whether the decision wants to know the Job's pods."""
    if job is None or final_state(transcription.status) is not None:
        return False
    if job.ended:
        return transcription.status.result is None
    return not job.is_deleting and (job.ready > 0 or job.failed > 0 or now >= job.created + FIRST_LOOK)


def decide(seen: Seen, policy: Policy, now: datetime) -> Decision:
    """The next steps of one transcription."""
    transcription = seen.transcription
    if transcription.spec.managed_by is not None:
        return Decision()
    if transcription.is_deleting:
        return part(seen, now)
    if final_state(transcription.status) is not None:
        return _follow_the_end(seen, transcription.status, policy, now)
    verdict = _find_verdict(seen, policy, now)
    if isinstance(verdict, Result):
        return _follow_the_end(seen, ending.succeed(seen, verdict, now), policy, now)
    if transcription.spec.cancel:
        return _follow_the_end(seen, ending.cancel(transcription, now), policy, now)
    if verdict is None:
        return _go_on(seen, policy, now)
    if attempts.is_recoverable(transcription, verdict):
        return _recover(seen, policy, now)
    return fail(seen, verdict, policy, now)


def fail(seen: Seen, failure: Failure, policy: Policy, now: datetime) -> Decision:
    """Latch the failure; also called by the loop when the cluster refuses the Job."""
    return _follow_the_end(seen, ending.fail(seen.transcription, failure, now), policy, now)


def wait(seen: Seen, why: WaitingReason, policy: Policy, now: datetime) -> Decision:
    """Stay in line; also called by the loop when a quota leaves no room."""
    status = enter(seen.transcription, State.QUEUED, WAITING[why], why, now)
    return _write(seen, status.model_copy(update={"waiting_reason": why}), policy, ending.free_jobs(seen))


def lacks_result(transcription: Transcription, job: JobView | None, pods: Sequence[PodView]) -> bool:
    """Whether a Job ended well and no word is left of what it stored: the cluster may be one from a backup."""
    is_done = job is not None and job.ended == "Complete" and final_state(transcription.status) is None
    return is_done and transcription.status.result is None and find_result(transcription, pods) is None


def _find_verdict(seen: Seen, policy: Policy, now: datetime) -> Result | Failure | None:
    """What ends the attempt, when anything does. A stored result counts, whatever that is."""
    transcription, job = seen.transcription, seen.job
    spec, status = transcription.spec, transcription.status
    verdict = judge(transcription, job, seen.pods) if job else status.result
    deadline = find_deadline(seen, status, policy)
    if verdict is None and _is_disrupted_too_often(status, job):
        verdict = build_failure(Reason.TOO_MANY_DISRUPTIONS)
    if verdict is None and deadline is not None and deadline.time <= now:
        verdict = build_failure(deadline.reason)
    is_over = verdict is not None or spec.cancel or spec.suspend
    if is_over and (stored := status.result or find_result(transcription, seen.pods) or seen.stored) is not None:
        return stored
    if verdict is None and not status.has_attempt:
        return _find_impossible(transcription, policy)
    return verdict


def _is_disrupted_too_often(status: Status, job: JobView | None) -> bool:
    """Disruptions are not charged; but who is disrupted for ever never ends."""
    return job is not None and status.replacements - job.failed > MOST_DISRUPTIONS


def _find_impossible(transcription: Transcription, policy: Policy) -> Failure | None:
    """The schema refuses what is named wrongly; here it may be the installation's default that does not fit."""
    spec = transcription.spec
    model = spec.model or policy.default_model
    if spec.task == "translate" and model in TURBO_MODELS:
        return build_failure(Reason.INVALID_TASK, IMPOSSIBLE)
    misfit = explain_misfit(model, spec.resources.gpu, spec.resources.gpu_resource)
    return build_failure(Reason.GPU_TOO_SMALL, misfit) if misfit else None


def _go_on(seen: Seen, policy: Policy, now: datetime) -> Decision:
    """Nothing has ended it: the next attempt, or the present one's next state."""
    transcription = seen.transcription
    if transcription.spec.suspend:
        return _write(seen, attempts.suspend(transcription, now), policy, ending.free_jobs(seen))
    if not transcription.status.has_attempt:
        if not seen.has_place:
            return wait(seen, WaitingReason.NO_PLACE, policy, now)
        return _start(seen, attempts.start(transcription, now), policy, now)
    if seen.job is None:
        create = CreateJob(transcription.status.attempt)
        return _write(seen, transcription.status, policy, (*ending.free_jobs(seen), create), now + FIRST_LOOK)
    return _write_followed(seen, seen.job, policy, now)


def _recover(seen: Seen, policy: Policy, now: datetime) -> Decision:
    """The next attempt, elsewhere; the raised attempt refuses whatever the old worker may still write."""
    if seen.transcription.spec.suspend:
        return _write(seen, attempts.suspend(seen.transcription, now), policy, ending.free_jobs(seen))
    failed = max(seen.pods, key=lambda pod: pod.age_key, default=None)
    status = attempts.start_elsewhere(seen.transcription, failed, now)
    return _start(seen, status, policy, now)


def _start(seen: Seen, status: Status, policy: Policy, now: datetime, before: tuple[Step, ...] = ()) -> Decision:
    before += tend_finalizer(seen.transcription)
    steps = (*before, PatchStatus(status), *ending.free_jobs(seen), CreateJob(status.attempt))
    return Decision(steps, _next_time(Seen(seen.transcription), status, policy, now + FIRST_LOOK))


def _write(
    seen: Seen, status: Status, policy: Policy, steps: tuple[Step, ...] = (), look_at: datetime | None = None
) -> Decision:
    """The status when it has changed, and then the steps; look again at the time, or at the first deadline."""
    before = (*tend_finalizer(seen.transcription), *_patch(seen, status))
    return Decision(before + steps, _next_time(seen, status, policy, look_at))


def _next_time(seen: Seen, status: Status, policy: Policy, look_at: datetime | None) -> datetime | None:
    """When to look again: at the time, or at the first deadline."""
    deadline = find_deadline(seen, status, policy)
    times = [time for time in (look_at, deadline.time if deadline else None) if time is not None]
    return min(times, default=None)


def _patch(seen: Seen, status: Status) -> tuple[Step, ...]:
    return (PatchStatus(status),) if status != seen.transcription.status else ()


def _write_followed(seen: Seen, job: JobView, policy: Policy, now: datetime) -> Decision:
    """A live Job: its pod runs, or waits, or is about to. Jobs of attempts before it go."""
    status, look_at = _follow(seen, job, now)
    return _write(seen, status, policy, ending.free_jobs(Seen(seen.transcription, others=seen.others)), look_at)


def _follow(seen: Seen, job: JobView, now: datetime) -> tuple[Status, datetime | None]:
    transcription = seen.transcription
    status = transcription.status
    if job.is_deleting:
        return status, None
    if job.ready > 0 and not job.is_suspended:
        return attempts.run(transcription, job, _find_ready(seen.pods), now), None
    since = job.started or job.created
    is_new = now < since + FIRST_LOOK and status.waiting_reason != WaitingReason.JOB_SUSPENDED
    if is_new and not job.is_suspended:
        return status, since + FIRST_LOOK
    next_look = now + min(max(FIRST_LOOK, (now - since) / 10), LONGEST_LOOK)
    is_between_pods = status.result is not None or all(pod.is_over or pod.is_at_work for pod in seen.pods)
    if is_running(status) and is_between_pods and not job.is_suspended:
        return status, next_look
    why = explain_waiting(job, seen.pods, seen.refusal)
    if why is WaitingReason.STARTING and status.waiting_reason is None and now < since + PLAIN_START:
        return status, next_look
    return attempts.wait_for_pod(transcription, job, why, now), next_look


def _find_ready(pods: tuple[PodView, ...]) -> str | None:
    return next((pod.name for pod in pods if pod.is_ready), None)


def _follow_the_end(seen: Seen, status: Status, policy: Policy, now: datetime) -> Decision:
    if _is_retry_due(seen.transcription, status, policy):
        return _retry(seen, status, policy, now)
    return ending.follow_the_end(seen, status, policy, now)


def _is_retry_due(transcription: Transcription, status: Status, policy: Policy) -> bool:
    spec = transcription.spec
    asked = spec.retries > status.retries and not spec.cancel
    return asked and final_state(status) is State.FAILED and _find_impossible(transcription, policy) is None


def _retry(seen: Seen, status: Status, policy: Policy, now: datetime) -> Decision:
    """The next attempt, once the last one is latched and its Job on the way out, and there is a place."""
    if final_state(seen.transcription.status) is None:
        return Decision(ending.conclude(seen, status), now)
    before: tuple[Step, ...] = (Unsettle(),) if ending.has_label(seen.transcription) else ()
    if not seen.has_place or seen.transcription.spec.suspend:
        return Decision((*before, *tend_finalizer(seen.transcription), *ending.free_jobs(seen)))
    return _start(seen, attempts.start_afresh(seen.transcription, now), policy, now, before)
