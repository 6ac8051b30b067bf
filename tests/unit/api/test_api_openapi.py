import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel, ValidationError

from api.errors import TITLES, Code
from api.openapi.document import HEADERS, NAMES, STREAMED, list_operations
from api.openapi.examples import REQUESTS
from api.openapi.faults import FAULTS
from api.schemas import CallbackPayload, GenerateUrlRequest, ProcessVideoRequest, RequestProcessRequest
from crds.callback import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, build_completed, build_ended
from tests.support.api_fakes import VIDEO_URL, Caller
from tests.support.frozen_openapi import COMMAND, FILE, render_document

Document = dict[str, Any]

BODIES: dict[str, type[BaseModel]] = {
    "generateUrl": GenerateUrlRequest,
    "requestProcess": RequestProcessRequest,
    "processVideo": ProcessVideoRequest,
    "receiveResult": CallbackPayload,
}


@pytest.fixture(scope="module")
def document(shared_client: Caller) -> Document:
    """As clients get it."""
    published: Document = shared_client.get("/openapi.json").json()
    return published


@pytest.fixture(scope="module")
def operations(document: Document) -> dict[str, Document]:
    return {operation["operationId"]: operation for _, operation in list_operations(document)}


def find_all(value: Any, key: str) -> Iterator[Any]:
    """What stands under a key, anywhere."""
    if isinstance(value, dict):
        yield from (found for name, found in value.items() if name == key)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from find_all(inner, key)


def find_contents(document: Document) -> Iterator[tuple[str, Document]]:
    """Every body of a request or an answer that has a schema, with its media type."""
    for contents in find_all({part: document[part] for part in ("paths", "components", "webhooks")}, "content"):
        yield from contents.items()


def find_answers(document: Document) -> list[Document]:
    return list(document["components"]["responses"].values())


def faults_of(schema: Document, document: Document, value: Any) -> list[str]:
    whole = schema | {"components": document["components"]}
    return [str(error) for error in jsonschema_rs.Draft202012Validator(whole).iter_errors(value)]


def test_the_document_is_the_one_in_the_repository(document: Document) -> None:
    frozen, published = FILE.read_text(encoding="utf-8"), render_document(document)
    lines = difflib.unified_diff(
        frozen.splitlines(), published.splitlines(), "docs/openapi.json", "the API", lineterm=""
    )
    assert frozen == published, "\n".join([*lines, "", f"When that is meant: {COMMAND}"])


def test_it_is_openapi_3_1_and_its_schemas_are_json_schemas(document: Document) -> None:
    assert document["openapi"].startswith("3.1.")
    for schema in [*document["components"]["schemas"].values(), *find_all(document["paths"], "schema")]:
        jsonschema_rs.meta.validate(schema)


def test_every_reference_leads_somewhere(document: Document) -> None:
    for path in set(find_all(document, "$ref")):
        place: Any = document
        for step in path.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def test_every_component_is_used(document: Document) -> None:
    used = {path.rpartition("/")[2] for path in find_all(document, "$ref")}
    assert set(document["components"]["schemas"]) | set(document["components"]["responses"]) == used


def test_every_operation_says_what_it_is_for(operations: dict[str, Document]) -> None:
    assert set(operations) == set(NAMES)
    for operation in operations.values():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"] != ["Further"]


def test_what_is_added_belongs_to_an_operation(operations: dict[str, Document]) -> None:
    assert {*HEADERS, *STREAMED, *REQUESTS} <= set(operations)


def test_every_body_has_an_example(document: Document) -> None:
    for kind, content in find_contents(document):
        assert {"example", "examples"} & content.keys(), (kind, content)


def test_every_example_fits_its_schema(document: Document) -> None:
    count = 0
    for _, content in find_contents(document):
        examples = [one["value"] for one in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        for example in examples:
            assert faults_of(content["schema"], document, example) == [], example
            count += 1
    assert count > 40


@pytest.mark.parametrize("operation", BODIES)
def test_every_example_of_a_request_is_taken(operation: str) -> None:
    for example in REQUESTS[operation].values():
        assert BODIES[operation].model_validate_json(json.dumps(example))


def test_errors_are_problems_and_those_of_openai_are_not(document: Document) -> None:
    answers = document["components"]["responses"]
    assert answers
    for name, answer in answers.items():
        kind = "application/json" if name.startswith("OpenAI") else "application/problem+json"
        assert set(answer["content"]) == {kind}
        assert answer["description"]


def test_every_operation_but_the_probes_answers_errors_alike(document: Document) -> None:
    for path, operation in list_operations(document):
        for status, answer in operation["responses"].items():
            if int(status) in FAULTS and path not in ("/health", "/ready"):
                assert answer["$ref"].startswith("#/components/responses/OpenAI") == path.startswith("/v1/")


def test_the_example_of_a_refused_request_is_what_a_wrong_language_gets(client: Caller, document: Document) -> None:
    answer = client.post("/api/upload-video/process-video", json=PROCESS | {"language": "xx"})
    published = document["components"]["responses"]["UnprocessableContent"]
    example = published["content"]["application/problem+json"]["example"]
    assert example == {name: answer.json()[name] for name in example}


def test_any_operation_may_say_that_a_request_cannot_be_read(operations: dict[str, Document]) -> None:
    assert [name for name, operation in operations.items() if "400" not in operation["responses"]] == []


def test_what_says_when_to_come_again_is_declared(document: Document) -> None:
    answers = document["components"]["responses"]
    assert all("Retry-After" in answers[name]["headers"] for name in ("TooManyRequests", "ServiceUnavailable"))
    assert "WWW-Authenticate" in answers["Unauthorized"]["headers"]


def test_what_a_status_is_called_does_not_hang_on_the_release_of_python(document: Document) -> None:
    assert {*FAULTS, 405} == set(TITLES)
    problems = [answer["content"].get("application/problem+json") for answer in find_answers(document)]
    examples = [problem["example"] for problem in problems if problem]
    assert len(examples) > 10
    assert all(example["title"] == TITLES[example["status"]] for example in examples)
    assert [TITLES[status] for status in (413, 414, 416, 422)] == [
        "Content Too Large",
        "URI Too Long",
        "Range Not Satisfiable",
        "Unprocessable Content",
    ]


def test_a_problem_is_titled_as_published(client: Caller) -> None:
    answer = client.post("/api/upload-video/generate-url", json={}).json()
    assert (answer["status"], answer["title"]) == (422, "Unprocessable Content")


@pytest.mark.parametrize("operation", [*BODIES, "createTranscription"])
def test_every_operation_with_a_body_may_say_that_it_came_too_slowly(
    operations: dict[str, Document], operation: str
) -> None:
    assert "408" in operations[operation]["responses"]


def test_downloads_declare_the_headers_that_they_look_at(operations: dict[str, Document]) -> None:
    asked = {
        name: {p["name"] for p in operation.get("parameters", ()) if p["in"] == "header"}
        for name, operation in operations.items()
    }
    wanted = {"Range", "If-Range", "If-None-Match"}
    assert {name for name, headers in asked.items() if headers & wanted} == {"getResult", "getTranscript"}
    assert asked["getResult"] == asked["getTranscript"] == wanted


def test_problems_list_every_code(document: Document) -> None:
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(Code)


def test_patterns_are_those_of_json_schema(document: Document) -> None:
    patterns = {*find_all(document, "pattern")} | {
        p for found in find_all(document, "patternProperties") for p in found
    }
    assert patterns
    for pattern in patterns:
        re.compile(pattern)
        assert "(?" not in pattern, "browsers' regular expressions do not have it"
        assert set(re.findall(r"\\(.)", pattern)) <= set(r"^$.*+?()[]{}|/\dswu-"), "browsers refuse needless escapes"


PATHS = {"generateUrl": "generate-url", "processVideo": "process-video"}
UPLOAD: Document = {"filename": "a.mp4", "content_type": "video/mp4"}
PROCESS: Document = {"job_id": "a", "video_url": VIDEO_URL}
TAKEN: list[tuple[str, Document]] = [
    ("generateUrl", UPLOAD),
    ("generateUrl", {"filename": "회의 1.MP4", "filetype": 'Audio/ogg; codecs="opus"'}),
    ("generateUrl", UPLOAD | {"filename": "../a", "filetype": None}),
    ("generateUrl", UPLOAD | {"filetype": ""}),
    ("processVideo", PROCESS),
    ("processVideo", PROCESS | {"model": "turbo", "task": "transcribe", "callback_url": None, "metadata": {}}),
    ("processVideo", PROCESS | {"callback_url": "https://example.org:443/a?b=[c]", "metadata": {"a.b": "c"}}),
    ("processVideo", PROCESS | {"initial_prompt": "line\nline", "language": "auto", "formats": ["srt"]}),
]
REFUSED: list[tuple[str, Document]] = [
    *[
        ("generateUrl", UPLOAD | {"filename": name})
        for name in ("", "..", " . ", "a\r\nb", "a\x00b", "a\x85b", "a" * 1025)
    ],
    *[("generateUrl", UPLOAD | {"content_type": kind}) for kind in ("", "text/html", "video/", "video/mp4\r\n", None)],
    ("generateUrl", {"filename": "a.mp4"}),
    ("generateUrl", UPLOAD | {"filetype": "audio/mpeg"}),
    ("generateUrl", UPLOAD | {"size": 1}),
    *[("processVideo", PROCESS | {"job_id": name}) for name in ("", "A", "-a", "a-", "a\n", "a" * 53, 1)],
    *[
        ("processVideo", PROCESS | {"video_url": url})
        for url in (
            "",
            "a",
            "//a/b",
            "ftp://a/b",
            "https://",
            "https://a@b/c",
            "https://b/c#d",
            "https://b/c d",
            "s3://a",
            "https://b..c/d",
            "https://b/%zz",
        )
    ],
    *[
        ("processVideo", PROCESS | {"callback_url": url})
        for url in ("", "a", "ftp://a/b", "http:/a", "https://a@b/", "https://a/#b", "https://a\\b/", "https://a/b c")
    ],
    ("processVideo", PROCESS | {"model": "turbo", "task": "translate"}),
    ("processVideo", PROCESS | {"model": "../x"}),
    ("processVideo", PROCESS | {"language": "english"}),
    ("processVideo", PROCESS | {"initial_prompt": "a\x00b"}),
    ("processVideo", PROCESS | {"formats": []}),
    ("processVideo", PROCESS | {"metadata": {"a b": "c"}}),
    ("processVideo", PROCESS | {"metadata": {"a": "\x00"}}),
    ("processVideo", PROCESS | {"metadata": {"a": 1}}),
    ("processVideo", PROCESS | {"priority": "urgent"}),
    ("processVideo", PROCESS | {"word_timestamps": "true"}),
]
ENDINGS: list[Document] = [
    {"job_id": "a"},
    {"job_id": "a", "result": {}, "error": {}},
    {"job_id": "a", "result": {}, "status": "failed"},
    {"job_id": "a", "error": {}, "status": "completed"},
    {"job_id": "a", "error": {}, "status": "processing"},
    {"job_id": "a", "result": []},
]


def body_schema(operation: Document) -> Document:
    schema: Document = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


@pytest.mark.parametrize(("operation", "body"), TAKEN)
def test_what_is_taken_fits_the_schema(
    client: Caller, document: Document, operations: dict[str, Document], operation: str, body: Document
) -> None:
    assert client.post(f"/api/upload-video/{PATHS[operation]}", json=body).is_success
    assert faults_of(body_schema(operations[operation]), document, body) == []


@pytest.mark.parametrize(("operation", "body"), REFUSED)
def test_what_is_answered_422_does_not_fit_the_schema(
    client: Caller, document: Document, operations: dict[str, Document], operation: str, body: Document
) -> None:
    assert client.post(f"/api/upload-video/{PATHS[operation]}", json=body).status_code == 422
    assert faults_of(body_schema(operations[operation]), document, body) != []


@pytest.mark.parametrize("body", ENDINGS)
def test_a_callback_that_contradicts_itself_does_not_fit_the_schema(
    document: Document, operations: dict[str, Document], body: Document
) -> None:
    with pytest.raises(ValidationError):
        CallbackPayload.model_validate(body)
    assert faults_of(body_schema(operations["receiveResult"]), document, body) != []


def test_a_credential_is_wanted_where_the_installation_wants_it(operations: dict[str, Document]) -> None:
    open_to_all = {name for name, operation in operations.items() if operation.get("security") == []}
    assert open_to_all == {"getHealth", "getReady", "receiveResult"}


@pytest.mark.parametrize("metadata", [None, {"course": "biology-101"}])
def test_callbacks_are_what_the_webhooks_declare(document: Document, metadata: dict[str, str] | None) -> None:
    error = {"code": "NoAudio", "message": "No sound.", "retryable": False}
    result = {"text": "a", "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": "a", "seek": 0}], "language": "en"}
    payloads = [build_completed("a", result, metadata)]
    payloads += [build_ended("a", "failed", error, metadata), build_ended("a", "cancelled", error, metadata)]
    for payload in payloads:
        operation = document["webhooks"][f"transcription.{payload['status']}"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert faults_of(schema, document, payload) == []
        assert [p["name"] for p in operation["parameters"]] == [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER]
    assert len(document["webhooks"]) == len(payloads)
