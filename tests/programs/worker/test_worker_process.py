"""The process as the kubelet sees it: exit code and termination message."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from crds.reasons import REASONS, ExitCode, Reason
from crds.worker import TASK_ENV, TERMINATION_MESSAGE_BYTES, Outcome
from tests.support.worker_fakes import a_result, a_task
from worker import errors
from worker.errors import WorkerError
from worker.last_words import LastWords

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": f"{ROOT}:{ROOT / 'whisper-job-image'}",
    "WORKER_POD_UID": "pod-1",
}
WAIT = """
import sys, time
from pathlib import Path
from worker.last_words import LastWords, exit_on_sigterm
exit_on_sigterm(LastWords(Path(sys.argv[1])))
print("ready", flush=True)
sum(10 ** 11 for _ in iter(int, 1)) if len(sys.argv) > 2 else sys.stdin.read()
"""
SAVING = """
words = LastWords(Path(sys.argv[1]))
words.save_with(lambda: print("saved", flush=True))
exit_on_sigterm(words)
"""
HELD = f"""
import os, signal, sys, types
from worker.__main__ import start

def main(path):
    os.kill(os.getpid(), signal.SIGTERM)
    exec({WAIT!r})

sys.modules["worker.process"] = types.SimpleNamespace(main=main)
start(sys.argv[1])
"""


@pytest.fixture
def message(tmp_path: Path) -> Path:
    return tmp_path / "termination-log"


def test_a_bad_task_ends_with_64(message: Path) -> None:
    command = [sys.executable, "-m", "worker", str(message)]
    done = subprocess.run(command, env=ENVIRONMENT | {TASK_ENV: "{"}, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.BAD_TASK
    assert read(message).failure == the_fault(Reason.INVALID_TASK)
    assert [json.loads(line)["reason"] for line in done.stderr.splitlines()] == ["InvalidTask"]


def test_an_unknown_fault_ends_with_85(message: Path) -> None:
    # there is no service account here
    task = a_task().model_dump_json(by_alias=True)
    command = [sys.executable, "-m", "worker", str(message)]
    done = subprocess.run(command, env=ENVIRONMENT | {TASK_ENV: task}, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.INTERNAL
    assert read(message).failure == the_fault(Reason.INTERNAL_ERROR)
    started, failed = (json.loads(line) for line in done.stderr.splitlines())
    assert started["transcription"] == failed["transcription"] == "ns/talk"
    assert "FileNotFoundError" in failed["detail"]


def end_by_sigterm(program: str, *arguments: str) -> bytes:
    """It is ready, and ends with 143 at once; what it printed after "ready"."""
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(
        command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(2) == ExitCode.TERMINATED
        return process.stdout.read()


@pytest.mark.parametrize("arguments", [[], ["busy"]], ids=["waiting", "busy"])
def test_sigterm_ends_with_143_at_once(arguments: list[str], message: Path) -> None:
    end_by_sigterm(WAIT, str(message), *arguments)
    assert read(message).failure == the_fault(Reason.WORKER_TERMINATED)


def test_sigterm_is_heard_when_it_comes_before_anyone_waits_for_it(message: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HELD, str(message), "busy"], env=ENVIRONMENT, check=False, timeout=20)
    assert done.returncode == ExitCode.TERMINATED
    assert read(message).failure == the_fault(Reason.WORKER_TERMINATED)


def test_the_work_is_saved_before_sigterm_ends_the_process(message: Path) -> None:
    saving = WAIT.replace("exit_on_sigterm(LastWords(Path(sys.argv[1])))", SAVING)
    assert end_by_sigterm(saving, str(message)) == b"saved\n"
    assert read(message).failure == the_fault(Reason.WORKER_TERMINATED)


def test_sigterm_ends_the_process_when_the_work_cannot_be_saved(message: Path) -> None:
    failing = WAIT.replace("exit_on_sigterm(LastWords(Path(sys.argv[1])))", SAVING.replace("print(", "sys.nothing("))
    end_by_sigterm(failing, str(message))


def test_a_stored_result_is_kept_when_the_end_is_bad(message: Path) -> None:
    words = LastWords(message)
    words.tell_result(a_result())
    words.tell_fault(errors.TerminatedError().fault)
    assert read(message) == Outcome(result=a_result())


def test_the_longest_result_fits_into_the_message(message: Path) -> None:
    longest = a_result(key="k" * 256, formats=("json", "txt", "srt", "vtt", "tsv"), bytes=2**63, language="x" * 8)
    LastWords(message).tell_result(longest)
    assert message.stat().st_size < TERMINATION_MESSAGE_BYTES
    assert read(message).result == longest


def test_a_run_goes_on_when_the_message_cannot_be_written(tmp_path: Path) -> None:
    words = LastWords(tmp_path / "missing" / "file")
    words.tell_result(a_result())
    assert not (tmp_path / "missing").exists()


def every_error() -> list[type[WorkerError]]:
    return WorkerError.__subclasses__()


@pytest.mark.parametrize("error", every_error(), ids=lambda e: e.__name__)
def test_an_error_ends_with_the_exit_code_of_its_reason(error: type[WorkerError]) -> None:
    assert error().exit_code == REASONS[error.reason].exit_code or error.reason is Reason.OUT_OF_MEMORY
    assert error().exit_code != ExitCode.DONE
    assert error("secret detail").fault.message == REASONS[error.reason].message


def test_every_reason_with_an_exit_code_has_one_error() -> None:
    ours = [error.reason for error in every_error()]
    assert len(ours) == len(set(ours))
    assert {reason for reason, info in REASONS.items() if info.exit_code is not None} <= set(ours)


def read(message: Path) -> Outcome:
    return Outcome.model_validate_json(message.read_bytes())


def the_fault(reason: Reason) -> object:
    return next(error().fault for error in every_error() if error.reason is reason)
