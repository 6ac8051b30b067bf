import json
import logging
from typing import Any

import pytest
from pydantic import ValidationError

from controller.settings import STANDARD_SCHEDULE, ControllerSettings
from crds.log import JsonFormatter
from tests.support.controller_fakes import SECRET, some_settings

REQUIRED = {
    "CONTROLLER_NAMESPACE": "transcription",
    "CONTROLLER_S3_BUCKET": "media",
    "CONTROLLER_WORKER_IMAGE": "worker:1",
    "CONTROLLER_WORKER_SERVICE_ACCOUNT": "worker",
}


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> ControllerSettings:
    for name, value in (REQUIRED | variables).items():
        monkeypatch.setenv(name, value)
    return ControllerSettings()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = {"nodeSelector": {"a": "b"}, "resources": {"limits": {"memory": "8Gi"}}, "volumeMounts": [{"name": "m"}]}
    settings = read(
        monkeypatch,
        CONTROLLER_CALLBACK_RETRY_SCHEDULE="1, 2.5,3",
        CONTROLLER_WORKER_POD=json.dumps(pod),
        CONTROLLER_S3_PATH_STYLE="true",
        CONTROLLER_CALLBACK_SECRET=SECRET,
        CONTROLLER_MAX_ACTIVE="4",
        CONTROLLER_CALLBACK_ALLOWED_HOSTS="hooks.svc, 10.0.0.0/8,",
    )
    assert settings.callback_allowed_hosts == ("hooks.svc", "10.0.0.0/8")
    assert settings.callback_retry_schedule == (1, 2.5, 3)
    assert settings.worker_pod.node_selector == {"a": "b"}
    assert settings.worker_pod.resources.limits == {"memory": "8Gi"}
    assert (settings.s3_path_style, settings.max_active) == (True, 4)


def test_defaults_hold_when_only_the_required_ones_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, CONTROLLER_CALLBACK_URL="", CONTROLLER_S3_ENDPOINT="")
    assert settings.callback_retry_schedule == STANDARD_SCHEDULE
    assert len(STANDARD_SCHEDULE) == 9
    assert (settings.callback_url, settings.s3_endpoint, settings.max_active) == (None, None, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONTROLLER_CALLBACK_RETRY_SCHEDULE", "5,soon"),
        ("CONTROLLER_CALLBACK_RETRY_SCHEDULE", "-1"),
        ("CONTROLLER_CALLBACK_SECRET", "tooshort"),
        ("CONTROLLER_WORKER_POD", '{"nodeSelektor": {}}'),
        ("CONTROLLER_MAX_ACTIVE", "-1"),
        ("CONTROLLER_CALLBACK_ALLOWED_HOSTS", "10.0.0.0/40"),
        ("CONTROLLER_CALLBACK_ALLOWED_HOSTS", "http://hooks.svc"),
        ("CONTROLLER_CALLBACK_URL", "http:///no-host"),
        ("CONTROLLER_CALLBACK_URL", "http://[nonsense"),
        ("CONTROLLER_PROGRESS_INTERVAL_SECONDS", "0"),
    ],
)
def test_bad_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        read(monkeypatch, **{name: value})


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("http://api.ns.svc:8080/result", ("10.0.0.0/8", "api.ns.svc")),
        ("http://api.ns.svc:8080/process-video", ("10.0.0.0/8",)),
        (None, ("10.0.0.0/8",)),
    ],
)
def test_own_host_is_allowed_for_the_own_url_alone(url: str | None, hosts: tuple[str, ...]) -> None:
    settings = some_settings(callback_url="http://api.ns.svc:8080/result", callback_allowed_hosts="10.0.0.0/8")
    assert settings.allowed_hosts(url) == hosts


def test_secret_is_masked_when_settings_are_logged() -> None:
    record: Any = logging.makeLogRecord({"msg": "started", "levelname": "INFO"})
    record.settings = some_settings(callback_secret=SECRET).model_dump(mode="json")
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == "started"
    assert line["settings"]["callback_secret"] == "**********"
    assert SECRET not in json.dumps(line)


def test_every_field_is_described() -> None:
    assert [name for name, field in ControllerSettings.model_fields.items() if not field.description] == []
