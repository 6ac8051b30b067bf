"""The process in the pod: wires the doors to the run, and turns its end into exit code and termination message.

Called by `__main__`, once.
"""

import logging
import os
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from crds.addresses import Allowed
from crds.callback import reveal
from crds.log import configure_logging
from crds.reasons import ExitCode
from crds.worker import TERMINATION_MESSAGE_PATH
from worker import publish, report
from worker.deliver import Courier
from worker.errors import InternalError, WorkerError
from worker.last_words import LastWords, exit_on_sigterm
from worker.pipeline import Doors, Run, Transcribing
from worker.progress import ProgressGate
from worker.sandbox import Sandbox
from worker.settings import WorkerSettings, read_settings
from worker.stream import Caps, open_sound

logger = logging.getLogger(__name__)

UNLOGGED = {"task": {"callback_url", "initial_prompt", "metadata"}}
"""These may hold tokens or private words."""


def main(message_path: str = TERMINATION_MESSAGE_PATH) -> int:
    """Run once; the exit code."""
    words = LastWords(Path(message_path))
    exit_on_sigterm(words)
    configure_logging("worker", "INFO")
    try:
        settings = read_settings()
        target = settings.task.target
        configure_logging("worker", settings.log_level, {"transcription": f"{target.namespace}/{target.name}"})
        logger.info("started", extra={"settings": settings.model_dump(mode="json", exclude=UNLOGGED)})
        run(settings, words, report.find_cluster(os.environ))
    except WorkerError as error:
        return _fail(words, error)
    except Exception as error:  # noqa: BLE001  # whatever it is, the pod ends with a reason
        return _fail(words, InternalError(repr(error)))
    return ExitCode.DONE


def run(settings: WorkerSettings, words: LastWords, cluster: report.Cluster) -> None:
    """One run with the real doors."""
    task = settings.task
    secrets = reveal(settings.callback_secret, settings.callback_previous_secret)
    sandbox = Sandbox(is_strict=settings.sandbox == "required")
    with tempfile.TemporaryDirectory() as folder, report.build_client(cluster) as client:
        scratch = Path(folder)
        store = publish.Store(publish.build_client(settings), task.result_bucket)
        caps = Caps(settings.max_input_bytes, settings.max_audio_seconds)
        doors = Doors(
            store=store,
            keeper=publish.Store(publish.build_client(settings, is_patient=False), task.result_bucket),
            open_sound=partial(open_sound, store, task.source, scratch, caps, sandbox),
            load_engine=lambda: _load_engine(settings, scratch),
            reporter=report.Reporter(client, task.target, cluster.account),
            courier=Courier(task, secrets, lambda: datetime.now(UTC), Allowed.parse(settings.callback_allowed_hosts)),
            tell_result=words.tell_result,
            save_at_end=words.save_with,
        )
        gate = ProgressGate(settings.pod_uid, task.target.attempt, task.progress_interval_seconds, time.monotonic)
        Run(task, doors, gate).run()


def _load_engine(settings: WorkerSettings, scratch: Path) -> Transcribing:
    from worker import engine  # torch takes seconds to import, which a bad file need not wait for

    download_dir = scratch if settings.model_download else None
    return engine.load(settings.task.model, settings.model_dir, download_dir)


def _fail(words: LastWords, error: WorkerError) -> int:
    words.tell_fault(error.fault)
    is_ours = isinstance(error, InternalError)
    logger.error("failed", extra={"reason": error.reason, "detail": str(error)}, exc_info=error if is_ours else None)
    return error.exit_code
