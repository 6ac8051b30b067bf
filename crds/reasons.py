"""Why a transcription waits, failed or ended: each reason beside its sentence. Used by controller, api and worker."""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class ExitCode(IntEnum):
    """How the worker ends; the bridge to podFailurePolicy. 64-79 permanent, 80-95 transient, 96-99 GPU or node."""

    DONE = 0
    BAD_TASK = 64
    BAD_MEDIA = 65
    INPUT_MISSING = 66
    INPUT_CHANGED = 67
    INPUT_DENIED = 68
    MODEL_UNKNOWN = 69
    RESULT_DENIED = 70
    STORAGE_UNAVAILABLE = 80
    MODEL_UNAVAILABLE = 81
    INTERNAL = 85
    GPU_FAULT = 96
    GPU_OUT_OF_MEMORY = 97
    SANDBOX_UNAVAILABLE = 98
    TERMINATED = 143


PERMANENT_EXIT_CODES = range(64, 80)
TRANSIENT_EXIT_CODES = range(80, 96)
GPU_EXIT_CODES = range(96, 100)


class Reason(StrEnum):
    """Why it failed, as machines read it; stable for ever."""

    INVALID_TASK = "InvalidTask"
    EMPTY_INPUT = "EmptyInput"
    UNREADABLE_MEDIA = "UnreadableMedia"
    UNSUPPORTED_MEDIA = "UnsupportedMedia"
    NO_AUDIO = "NoAudio"
    TOO_LONG = "TooLong"
    INPUT_NOT_FOUND = "InputNotFound"
    INPUT_CHANGED = "InputChanged"
    INPUT_DENIED = "InputDenied"
    RESULT_DENIED = "ResultDenied"
    MODEL_UNKNOWN = "ModelUnknown"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    MODEL_UNAVAILABLE = "ModelUnavailable"
    SANDBOX_UNAVAILABLE = "SandboxUnavailable"
    INTERNAL_ERROR = "InternalError"
    GPU_FAULT = "GpuFault"
    GPU_OUT_OF_MEMORY = "GpuOutOfMemory"
    OUT_OF_MEMORY = "OutOfMemory"
    WORKER_TERMINATED = "WorkerTerminated"
    WORKER_FAILED = "WorkerFailed"
    NODE_REFUSED = "NodeRefused"
    TOO_MANY_DISRUPTIONS = "TooManyDisruptions"
    RESULT_MISSING = "ResultMissing"
    STALE_HEARTBEAT = "StaleHeartbeat"
    QUEUE_DEADLINE_EXCEEDED = "QueueDeadlineExceeded"
    RUN_DEADLINE_EXCEEDED = "RunDeadlineExceeded"
    TOTAL_DEADLINE_EXCEEDED = "TotalDeadlineExceeded"
    GPU_TOO_SMALL = "GpuTooSmall"
    JOB_REFUSED = "JobRefused"
    NAME_CONFLICT = "NameConflict"
    CANCELLED = "Cancelled"


class ReasonInfo(NamedTuple):
    message: str
    retryable: bool
    exit_code: ExitCode | None = None


REASONS: dict[Reason, ReasonInfo] = {
    Reason.INVALID_TASK: ReasonInfo(
        "The worker could not use its task: check the options of the request.", False, ExitCode.BAD_TASK
    ),
    Reason.EMPTY_INPUT: ReasonInfo(
        "The file is empty: upload it again and send a new request.", False, ExitCode.BAD_MEDIA
    ),
    Reason.UNREADABLE_MEDIA: ReasonInfo(
        "The file is damaged or cut off: upload a complete video or audio file and send a new request.",
        False,
        ExitCode.BAD_MEDIA,
    ),
    Reason.UNSUPPORTED_MEDIA: ReasonInfo(
        "The file is no video or audio of a supported kind: convert it to MP4 or MP3 and send a new request.",
        False,
        ExitCode.BAD_MEDIA,
    ),
    Reason.NO_AUDIO: ReasonInfo(
        "The file has no audio track: upload one with sound and send a new request.", False, ExitCode.BAD_MEDIA
    ),
    Reason.TOO_LONG: ReasonInfo(
        "The audio is longer than allowed: cut it into parts and send a request for each.", False, ExitCode.BAD_MEDIA
    ),
    Reason.INPUT_NOT_FOUND: ReasonInfo(
        "The file is no longer in the bucket: upload it again and send a new request.", False, ExitCode.INPUT_MISSING
    ),
    Reason.INPUT_CHANGED: ReasonInfo(
        "The file was changed after the request: send a new request for the new file.", False, ExitCode.INPUT_CHANGED
    ),
    Reason.INPUT_DENIED: ReasonInfo(
        "The worker may not read the file, or there is none: check its key and the rights of the worker's S3 account,"
        " then retry.",
        True,
        ExitCode.INPUT_DENIED,
    ),
    Reason.RESULT_DENIED: ReasonInfo(
        "The worker may not store the transcript: check the bucket and the rights of the worker's S3 account,"
        " then retry.",
        True,
        ExitCode.RESULT_DENIED,
    ),
    Reason.MODEL_UNKNOWN: ReasonInfo(
        "The model is not installed here: choose one of the installed models.", False, ExitCode.MODEL_UNKNOWN
    ),
    Reason.STORAGE_UNAVAILABLE: ReasonInfo(
        "S3 could not be reached: check the storage, then retry.", True, ExitCode.STORAGE_UNAVAILABLE
    ),
    Reason.MODEL_UNAVAILABLE: ReasonInfo(
        "The model could not be loaded: check the model volume or download, then retry.",
        True,
        ExitCode.MODEL_UNAVAILABLE,
    ),
    Reason.SANDBOX_UNAVAILABLE: ReasonInfo(
        "The node cannot lock in the program that reads the file: use nodes whose kernel has Landlock, then retry.",
        True,
        ExitCode.SANDBOX_UNAVAILABLE,
    ),
    Reason.INTERNAL_ERROR: ReasonInfo(
        "The worker failed for a reason of its own: see its log, then retry.", True, ExitCode.INTERNAL
    ),
    Reason.GPU_FAULT: ReasonInfo(
        "The GPU failed: retry; drain the node if it happens again.", True, ExitCode.GPU_FAULT
    ),
    Reason.GPU_OUT_OF_MEMORY: ReasonInfo(
        "The model does not fit into the GPU's memory: choose a smaller model or a larger GPU.",
        True,
        ExitCode.GPU_OUT_OF_MEMORY,
    ),
    Reason.OUT_OF_MEMORY: ReasonInfo("The worker ran out of memory: raise its memory limit, then retry.", True),
    Reason.WORKER_TERMINATED: ReasonInfo(
        "The worker was stopped from outside too often: retry.", True, ExitCode.TERMINATED
    ),
    Reason.WORKER_FAILED: ReasonInfo("The worker ended without a result: see its log, then retry.", True),
    Reason.NODE_REFUSED: ReasonInfo("The node refused the worker: check its GPUs, then retry.", True),
    Reason.TOO_MANY_DISRUPTIONS: ReasonInfo(
        "The worker was disrupted too often: retry when the cluster is calmer.", True
    ),
    Reason.RESULT_MISSING: ReasonInfo("The worker ended well but stored no result: retry.", True),
    Reason.STALE_HEARTBEAT: ReasonInfo("The worker stopped reporting: retry.", True),
    Reason.QUEUE_DEADLINE_EXCEEDED: ReasonInfo(
        "No place was found in time: add GPUs or raise the queue limit, then retry.", True
    ),
    Reason.RUN_DEADLINE_EXCEEDED: ReasonInfo(
        "The run took longer than allowed: raise the run limit or cut the file.", True
    ),
    Reason.TOTAL_DEADLINE_EXCEEDED: ReasonInfo(
        "It took longer in all than allowed: see why it waited or was disrupted, raise the total limit, then retry.",
        True,
    ),
    Reason.GPU_TOO_SMALL: ReasonInfo(
        "The model does not fit into the GPU slice: choose a smaller model or a larger slice.", False
    ),
    Reason.JOB_REFUSED: ReasonInfo(
        "The cluster refused the Job: see the controller's log and the namespace's quotas, then retry.", True
    ),
    Reason.NAME_CONFLICT: ReasonInfo(
        "Another object already has the Job's name: delete it or choose another id.", True
    ),
    Reason.CANCELLED: ReasonInfo("Cancelled on request.", False),
}


class WaitingReason(StrEnum):
    """Why a transcription that was accepted does not run yet."""

    NO_PLACE = "NoPlace"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL = "ImagePull"
    QUOTA = "Quota"
    POD_REFUSED = "PodRefused"
    JOB_SUSPENDED = "JobSuspended"
    SUSPENDED = "Suspended"
    CONTAINER_CONFIG = "ContainerConfig"
    STARTING = "Starting"


WAITING: dict[WaitingReason, str] = {
    WaitingReason.NO_PLACE: "Waiting: as many transcriptions as allowed run already.",
    WaitingReason.UNSCHEDULABLE: "Waiting: no node has what it asks for, often a free GPU.",
    WaitingReason.IMAGE_PULL: "Waiting: the worker image cannot be pulled; check its name and the pull secret.",
    WaitingReason.QUOTA: "Waiting: the namespace's quota is used up.",
    WaitingReason.POD_REFUSED: "Waiting: the cluster refuses the worker's pod; see the events of its Job.",
    WaitingReason.JOB_SUSPENDED: "Waiting: its Job is suspended until its queue, or whoever did it, lets it go on.",
    WaitingReason.SUSPENDED: "Suspended on request: set spec.suspend to false to go on.",
    WaitingReason.CONTAINER_CONFIG: "Waiting: the worker's container cannot be made; check its secrets and volumes.",
    WaitingReason.STARTING: "Starting: the worker's pod is on its way.",
}
