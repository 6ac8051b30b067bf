"""What the environment may say, and what the log shows of it."""

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds.log import JsonFormatter
from crds.worker import TASK_ENV
from tests.support.worker_fakes import SECRET, a_task
from worker.cpu import count_cpus
from worker.errors import InvalidTaskError
from worker.settings import WorkerSettings, read_settings


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv(TASK_ENV, a_task().model_dump_json(by_alias=True))
    monkeypatch.setenv("WORKER_POD_UID", "pod-1")
    yield monkeypatch


@pytest.mark.usefixtures("environment")
def test_the_task_is_what_the_controller_gave() -> None:
    assert read_settings().task == a_task()


def test_an_empty_variable_is_as_good_as_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WORKER_S3_ENDPOINT", "")
    environment.setenv("WORKER_CALLBACK_SECRET", "")
    settings = read_settings()
    assert settings.s3_endpoint is None
    assert settings.callback_secret is None


def test_allowed_hosts_are_split_and_checked(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WORKER_CALLBACK_ALLOWED_HOSTS", "api.ns.svc,10.0.0.0/8")
    assert read_settings().callback_allowed_hosts == ("api.ns.svc", "10.0.0.0/8")
    environment.setenv("WORKER_CALLBACK_ALLOWED_HOSTS", "api/result")
    with pytest.raises(InvalidTaskError):
        read_settings()


def test_the_log_level_may_be_in_lower_case(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WORKER_LOG_LEVEL", "warning")
    assert read_settings().log_level == "WARNING"


@pytest.mark.parametrize("task", ["", "{", "[]", '{"target": 1}', '{"model": "demo"}'])
def test_a_task_is_invalid_when_it_does_not_parse(task: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv(TASK_ENV, task)
    with pytest.raises(InvalidTaskError):
        read_settings()


def test_secrets_are_masked(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("WORKER_CALLBACK_SECRET", SECRET)
    assert SECRET not in json.dumps(read_settings().model_dump(mode="json"))


def test_every_field_is_described() -> None:
    assert [name for name, field in WorkerSettings.model_fields.items() if not field.description] == []


def test_a_log_line_is_json_and_names_the_transcription() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter({"transcription": "ns/talk"}))
    record = logging.LogRecord("worker.x", logging.INFO, "", 0, "stage done", (), None)
    record.stage = "Saving"
    record.path = Path("/models")
    handler.emit(record)
    line = json.loads(stream.getvalue())
    assert line["transcription"] == "ns/talk"
    assert (line["level"], line["message"], line["stage"], line["path"]) == ("INFO", "stage done", "Saving", "/models")


def test_a_log_line_stays_one_line_when_the_text_has_breaks() -> None:
    record = logging.LogRecord("worker.x", logging.INFO, "", 0, "one\r\ntwo\x1b[31m", (), None)
    assert JsonFormatter({"transcription": "ns/talk"}).format(record).isprintable()


@pytest.fixture
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))


@pytest.mark.usefixtures("_eight_cpus")
@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("10000 100000", 1),
        ("100000 100000", 1),
        ("100001 100000", 2),
        ("250000 100000", 3),
        ("9900000 100000", 8),
        ("max 100000", 8),
        ("", 8),
    ],
)
def test_cpus_are_counted_by_the_limit(limit: str, expected: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert count_cpus(tmp_path) == expected


@pytest.mark.usefixtures("_eight_cpus")
def test_all_cpus_are_counted_when_there_is_no_limit(tmp_path: Path) -> None:
    assert count_cpus(tmp_path) == 8


@pytest.mark.usefixtures("_eight_cpus")
@pytest.mark.parametrize(("quota", "expected"), [("100000", 1), ("150000", 2), ("-1", 8)])
def test_cpus_are_counted_by_the_older_limit(quota: str, expected: int, tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert count_cpus(tmp_path) == expected
