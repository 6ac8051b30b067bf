"""docs/api.md says what the API does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from api.errors import Code
from api.guard import MAX_HEADER_BYTES, MAX_QUERY_BYTES
from api.listing import MAX_LIMIT
from api.openapi.webhooks import CALLBACKS
from api.receive import MAX_RESULT_NODES
from api.schemas import Options, Problem, StatusDocument
from api.settings import MIB, ApiSettings
from api.strict_json import MAX_DEPTH, MAX_NODES
from api.watching import MAX_WAIT_SECONDS
from tests.support.api_fakes import VIDEO_URL, Caller

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/api.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (.+?) \| (.+?) \|(?: (.+?) \|)?$", re.MULTILINE)
RAISED = re.compile(r"ProblemError\(\s*(\d{3}), Code\.([A-Z_]+)")


def snippets(language: str) -> list[str]:
    """The code blocks of one language, wherever they are indented to."""
    return re.findall(rf"^ *```{language}\n(.+?)^ *```$", GUIDE, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    return GUIDE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> dict[str, str]:
    """The first and second cells of the tables of a section, without their heads."""
    found = [(one, other) for one, other, _ in ROW.findall(section(title)) if set(one) != {"-"}]
    assert len(found) > 1
    return dict(found[1:])


@pytest.fixture(scope="module")
def paths(shared_client: Caller) -> dict[str, Any]:
    published: dict[str, Any] = shared_client.get("/openapi.json").json()["paths"]
    return published


def is_published(method: str, path: str, paths: dict[str, Any]) -> bool:
    plain = re.sub(r"\?.*|\"", "", path)
    for template, item in paths.items():
        shape = re.sub(r"\\\{\w+\\\}", r"[$\\w-]+", re.escape(template))
        if re.fullmatch(shape, plain) and method in item:
            return True
    return False


def test_every_request_of_the_guide_is_published(paths: dict[str, Any]) -> None:
    requests = re.findall(r"curl -s(?: -OJ)?(?: -X ([A-Z]+))? \"?\$API(\S+)(.*?(?:\\\n.*?)*)$", GUIDE, re.MULTILINE)
    assert len(requests) >= 9
    for method, path, rest in requests:
        assert is_published((method or ("POST" if "-d" in rest else "GET")).lower(), path, paths), path


@pytest.mark.parametrize("body", re.findall(r"-d '(\{.+?\})'", GUIDE))
def test_every_request_body_of_the_guide_is_json(body: str) -> None:
    assert json.loads(body)


def test_every_document_of_the_guide_is_what_the_api_sends() -> None:
    for document in map(json.loads, snippets("json")):
        if "errors" in document:
            model: type[Any] = Problem
        else:
            model = StatusDocument if "progress" in document else CALLBACKS[document["status"]]
        assert set(document) <= set(model.model_fields)
        model.model_validate(document)
    assert len(snippets("json")) == 4


def test_the_problem_of_the_guide_is_what_a_wrong_language_gets(client: Caller) -> None:
    asked = {"video_url": VIDEO_URL, "language": "xx"}
    shown = [document for document in map(json.loads, snippets("json")) if "errors" in document]
    assert shown == [client.post("/api/upload-video/request-process", json=asked).json()]


def test_the_python_of_the_guide_is_python() -> None:
    (snippet,) = snippets("python")
    assert compile(snippet, "docs/api.md", "exec")


def test_the_options_of_the_guide_are_those_of_a_request() -> None:
    assert {name.strip("`") for name in rows("Submit")} == set(Options.model_fields)


def test_the_codes_of_the_guide_are_those_of_the_api() -> None:
    codes = {code.strip("`"): set(statuses.split(", ")) for code, statuses in rows("Errors").items()}
    assert list(codes) == sorted(Code)
    for file in (ROOT / "api").rglob("*.py"):
        for status, name in RAISED.findall(file.read_text(encoding="utf-8")):
            assert status in codes[Code[name]], f"{file.name}: {status} {name}"


def test_the_ways_of_the_guide_to_say_who_calls_are_those_of_the_settings() -> None:
    assert {name.strip("`") for name in rows("Who may call")} == {"none", "api-key", "oidc"}


def test_the_limits_of_the_guide_are_those_of_the_api() -> None:
    def default(name: str) -> int:
        value: int = ApiSettings.model_fields[name].default
        return value

    assert rows("Limits") == {
        "an upload": f"{default('max_upload_bytes') // MIB // 1024} GiB",
        "a JSON body": f"{default('max_body_bytes') // MIB} MiB",
        "the body of `POST result`": f"{default('max_result_bytes') // MIB} MiB",
        "the body of `/v1/audio/transcriptions`": f"{default('max_audio_bytes') // MIB} MiB",
        "depth of JSON": str(MAX_DEPTH),
        "values in a JSON body, in that of `POST result`": f"{MAX_NODES:,}, {MAX_RESULT_NODES:,}",
        "headers, query": f"{MAX_HEADER_BYTES // 1024} KiB, {MAX_QUERY_BYTES // 1024} KiB",
        "requests of one caller": f"{default('rate_requests'):,} in {default('rate_seconds')} seconds",
        "unfinished jobs": f"{default('max_live_jobs'):,}",
        "jobs of one page": str(MAX_LIMIT),
    }
    assert f"({MAX_WAIT_SECONDS} at most)" in GUIDE
    assert f"{default('openai_wait_seconds'):.0f} seconds unless" in GUIDE
