"""What may be set, and how log lines look."""

import json
import logging

import pytest
from pydantic import ValidationError

from api.settings import ApiSettings
from crds.log import JsonFormatter
from tests.support.api_fakes import SECRET, some_settings


def test_settings_come_from_the_environment_and_empty_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_S3_BUCKET", "media")
    monkeypatch.setenv("API_S3_ENDPOINT", "http://s3:9000/")
    monkeypatch.setenv("API_S3_PUBLIC_ENDPOINT", "")
    monkeypatch.setenv("API_CALLBACK_SECRET", "")
    settings = ApiSettings()
    assert settings.public_endpoint == "http://s3:9000"
    assert settings.secrets == ()


def test_a_secret_that_cannot_sign_is_refused_and_a_good_one_is_masked() -> None:
    with pytest.raises(ValidationError):
        some_settings(callback_secret="whsec_short")
    settings = some_settings(callback_secret=SECRET)
    assert settings.secrets == (SECRET,)
    assert SECRET not in settings.model_dump_json()


@pytest.mark.parametrize("field", ["s3_endpoint", "s3_public_endpoint"])
@pytest.mark.parametrize(
    "endpoint", ["https://host/minio", "host:9000", "ftp://host", "https://host?x=1", "https://a b"]
)
def test_an_endpoint_with_a_path_or_without_a_scheme_is_refused(field: str, endpoint: str) -> None:
    with pytest.raises(ValidationError, match="an S3 endpoint is scheme, host and port"):
        some_settings(**{field: endpoint})


def test_every_setting_is_described() -> None:
    assert [name for name, field in ApiSettings.model_fields.items() if not field.description] == []


def test_a_log_line_is_one_json_object_with_its_facts() -> None:
    record = logging.makeLogRecord({"msg": "submitted", "levelname": "INFO", "name": "api", "transcription": "n/a\nb"})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["transcription"] == "n/a\nb"
    assert json.loads(line)["message"] == "submitted"
