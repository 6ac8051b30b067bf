"""The worker's last words: its termination message, also when it is stopped from outside. Used by `process`."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from crds.reasons import ExitCode
from crds.transcriptionjob import Result
from crds.worker import TERMINATION_MESSAGE_BYTES, Fault, Outcome
from worker.errors import TerminatedError

logger = logging.getLogger(__name__)


class LastWords:
    """The kubelet shows the file to the controller. A stored result is never overwritten by a later failure."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_result = False
        self._save: Callable[[], None] | None = None

    def save_with(self, save: Callable[[], None]) -> None:
        """What to call when the run is stopped, to save its work."""
        self._save = save

    def save(self) -> None:
        """Save what there is to save."""
        if self._save is not None:
            self._save()

    def tell_result(self, result: Result) -> None:
        self._has_result = True
        self._write(Outcome(result=result))

    def tell_fault(self, fault: Fault) -> None:
        if not self._has_result:
            self._write(Outcome(failure=fault))

    def _write(self, outcome: Outcome) -> None:
        message = outcome.model_dump_json(by_alias=True, exclude_none=True).encode()
        try:
            self._path.write_bytes(message[:TERMINATION_MESSAGE_BYTES])
        except OSError as error:
            logger.warning("termination message not written", extra={"error": str(error)})


def exit_on_sigterm(words: LastWords, leave: Callable[[int], None] = os._exit) -> None:
    """From now on SIGTERM ends the process at once, also within a long call into native code.

    A thread waits for it: the main thread would see it only between two steps of Python.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_wait, args=(words, leave), daemon=True).start()


def _wait(words: LastWords, leave: Callable[[int], None]) -> None:
    signal.sigwait({signal.SIGTERM})
    words.tell_fault(TerminatedError().fault)
    logger.warning("stopped from outside")
    try:
        words.save()
    finally:
        leave(ExitCode.TERMINATED)
