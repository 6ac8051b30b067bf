"""Why a run ends without a result. Raised at the doors, told to the world by `process` alone."""

from typing import ClassVar

from crds.reasons import REASONS, ExitCode, Reason
from crds.worker import Fault


class WorkerError(Exception):
    """The end of a run. The detail is for the log; people read the sentence, by default that of the reason."""

    reason: ClassVar[Reason] = Reason.INTERNAL_ERROR

    def __init__(self, detail: str = "", sentence: str | None = None) -> None:
        super().__init__(detail)
        self._sentence = sentence

    @property
    def exit_code(self) -> ExitCode:
        return REASONS[self.reason].exit_code or ExitCode.INTERNAL

    @property
    def fault(self) -> Fault:
        return Fault(reason=self.reason, message=self._sentence or REASONS[self.reason].message)


class InternalError(WorkerError):
    reason = Reason.INTERNAL_ERROR


class InvalidTaskError(WorkerError):
    reason = Reason.INVALID_TASK


class EmptyInputError(WorkerError):
    reason = Reason.EMPTY_INPUT


class UnreadableMediaError(WorkerError):
    reason = Reason.UNREADABLE_MEDIA


class UnsupportedMediaError(WorkerError):
    reason = Reason.UNSUPPORTED_MEDIA


class NoAudioError(WorkerError):
    reason = Reason.NO_AUDIO


class TooLongError(WorkerError):
    reason = Reason.TOO_LONG


class InputNotFoundError(WorkerError):
    reason = Reason.INPUT_NOT_FOUND


class InputChangedError(WorkerError):
    reason = Reason.INPUT_CHANGED


class InputDeniedError(WorkerError):
    reason = Reason.INPUT_DENIED


class ResultDeniedError(WorkerError):
    reason = Reason.RESULT_DENIED


class StorageUnavailableError(WorkerError):
    reason = Reason.STORAGE_UNAVAILABLE


class ModelUnknownError(WorkerError):
    reason = Reason.MODEL_UNKNOWN


class ModelUnavailableError(WorkerError):
    reason = Reason.MODEL_UNAVAILABLE


class SandboxUnavailableError(WorkerError):
    reason = Reason.SANDBOX_UNAVAILABLE


class GpuFaultError(WorkerError):
    reason = Reason.GPU_FAULT


class GpuOutOfMemoryError(WorkerError):
    reason = Reason.GPU_OUT_OF_MEMORY


class OutOfMemoryError(WorkerError):
    reason = Reason.OUT_OF_MEMORY


class TerminatedError(WorkerError):
    reason = Reason.WORKER_TERMINATED
