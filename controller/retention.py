"""How long a finished transcription stays, and what goes before it. Pure; called by reconcile and the paged resync."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from controller.decision import Decision, DeleteJob, DeleteOutputs, HoldOutputs, Policy, ReleaseOutputs, Seen, Step
from crds.transcriptionjob import OUTPUTS_FINALIZER, Transcription

LAST_LOOK = timedelta(seconds=5)


def find_expiry(transcription: Transcription, completed: datetime | None, policy: Policy) -> datetime | None:
    """When it is deleted, once it is settled; None when it stays."""
    own = transcription.spec.ttl_seconds_after_finished
    ttl = timedelta(seconds=own) if own is not None else policy.ttl
    return completed + ttl if completed is not None and ttl is not None else None


def holds_outputs(transcription: Transcription) -> bool:
    """Whether the finalizer is on."""
    return OUTPUTS_FINALIZER in transcription.finalizers


def tend_finalizer(transcription: Transcription) -> tuple[Step, ...]:
    """The finalizer is on when the files are to go first, and only then."""
    if transcription.spec.delete_outputs == holds_outputs(transcription):
        return ()
    return (HoldOutputs(),) if transcription.spec.delete_outputs else (ReleaseOutputs(),)


def part(seen: Seen, now: datetime) -> Decision:
    """The resource is being deleted: its Job goes with it; its files first, when no pod can store any more of them."""
    if not holds_outputs(seen.transcription):
        return Decision()
    if not seen.transcription.spec.delete_outputs:
        return Decision((ReleaseOutputs(),))
    jobs = [job for job in (seen.job, *seen.others) if job is not None and not job.is_deleting]
    if jobs or not all(pod.is_over for pod in seen.pods):
        return Decision(tuple(DeleteJob(job) for job in jobs), now + LAST_LOOK)
    return Decision((DeleteOutputs(), ReleaseOutputs()))


def is_expired(manifest: Mapping[str, Any], policy: Policy, now: datetime) -> bool:
    """Whether the time of a settled one is over, told from the resource as the API server sends it."""
    own = manifest["spec"].get("ttlSecondsAfterFinished")
    ttl = timedelta(seconds=own) if own is not None else policy.ttl
    completed = (manifest.get("status") or {}).get("completionTime")
    return ttl is not None and completed is not None and datetime.fromisoformat(completed) + ttl <= now
