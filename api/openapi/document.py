"""What openapi.json says beyond what FastAPI reads from the routes: errors, headers, examples, webhooks, who may call.

Called by app; docs/openapi.json holds the outcome.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from api.errors import OPENAI_PREFIX, Code
from api.openapi.examples import ANSWERS, CALLBACKS, ID, REQUESTS
from api.openapi.faults import ENVELOPE, FAULTS, REF, build_answer, name_of
from api.openapi.webhooks import CancelledCallback, CompletedCallback, FailedCallback, Transcript, build_webhooks
from api.schemas import Problem
from crds.transcriptionjob import NAME_PATTERN

Document = dict[str, Any]

MODELS = (Problem, Transcript, CompletedCallback, FailedCallback, CancelledCallback)
"""What no route names as its own answer."""

SUMMARY = "Upload a video, ask for its transcript, watch honest progress, read the words."
DESCRIPTION = """\
Submit with `generate-url`, a PUT of the file to the URL that it answers, and `request-process` (or `process-video`,
with an id of your own). Watch with `status` or `events`, or be called back (see the webhooks). Fetch with `result` or
`transcripts`.

Errors are RFC 9457 problems with a stable `code`. A path that does not take a method answers 405 with `Allow`.
`/v1` is for OpenAI's clients and answers errors as they read them.
"""

LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}

GOOD = ("200", "202", "206")

ANYWHERE = ("400", "414", "431", "500")
"""What any operation may answer."""

OPEN_TO_ALL = frozenset({"getHealth", "getReady", "receiveResult"})
"""Operations without a credential; the receiver has signatures."""

NAMES: dict[str, tuple[str, str]] = {
    "generateUrl": ("Submit", "Get an upload URL"),
    "requestProcess": ("Submit", "Start a job"),
    "processVideo": ("Submit", "Start a job under your own id"),
    "getStatus": ("Watch", "See how far a job is"),
    "watchJob": ("Watch", "Follow a job"),
    "getResult": ("Fetch", "Get the transcript as Whisper's JSON"),
    "getTranscript": ("Fetch", "Get the transcript as a file"),
    "listJobs": ("List", "List jobs"),
    "cancelJob": ("Act", "Cancel a job"),
    "retryJob": ("Act", "Retry a failed job"),
    "redeliverCallback": ("Act", "Send the callback again"),
    "deleteJob": ("Act", "Delete a job"),
    "receiveResult": ("Receive", "Receive a callback"),
    "createTranscription": ("OpenAI", "Transcribe a file and wait for it"),
    "listModels": ("OpenAI", "List models"),
    "getModel": ("OpenAI", "See one model"),
    "getHealth": ("Probes", "Liveness"),
    "getReady": ("Probes", "Readiness"),
}
"""Under which heading an operation stands, and what it is for, by operation id."""

SECURITY_SCHEMES: Document = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key (api-key) or a JWT of the issuer (oidc), as the installation has it.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "An API key, where the installation has them.",
    },
}

STREAMED: dict[str, Document] = {
    "watchJob": {"text/event-stream": {"type": "string"}},
    "getResult": {"application/json": {"$ref": f"{REF}Transcript"}},
    "getTranscript": {
        "application/json": {"$ref": f"{REF}Transcript"},
        "text/plain": {"type": "string"},
        "application/x-subrip": {"type": "string"},
        "text/vtt": {"type": "string"},
        "text/tab-separated-values": {"type": "string"},
    },
}
"""What operations answer that is streamed, by operation id and media type."""

_FILE = ("ETag", "Accept-Ranges", "Content-Length")
_FILES = {"200": _FILE, "206": (*_FILE, "Content-Range"), "304": ("ETag",)}
_NAMED_FILES = {status: (*headers, "Content-Disposition") for status, headers in _FILES.items()}

HEADERS: dict[str, dict[str, tuple[str, ...]]] = {
    "requestProcess": {"202": ("Location",)},
    "processVideo": {"202": ("Location",)},
    "getResult": _FILES,
    "getTranscript": _NAMED_FILES,
    "createTranscription": {"200": ("X-Request-ID",)},
}
"""The headers of good answers, by operation id and status."""

HEADER_TEXTS = {
    "Location": "The path of the job's status.",
    "ETag": "Changes when the file does; send it as If-None-Match.",
    "Accept-Ranges": "bytes",
    "Content-Length": "Size in bytes.",
    "Content-Disposition": "A name for the download, in any script.",
    "X-Request-ID": "The job's id.",
    "Content-Range": "Which bytes these are, of how many.",
}

ASKED = {
    "Range": (
        "Which bytes, such as the first thousand; what is no single range of bytes is the whole file.",
        "bytes=0-999",
    ),
    "If-Range": ("The ETag that the range is of; the whole file when it has another by now.", '"9b2cf535f27731c9"'),
    "If-None-Match": ("The ETag of the file that the caller has: 304 when it is still the same.", '"9b2cf535f27731c9"'),
}
"""The headers that downloads look at, and an example of each."""

TEXTS = {"206": "The range that was asked for.", "304": "If-None-Match has the file's ETag: nothing has changed."}


def publish_openapi(app: FastAPI) -> None:
    """Let the app answer the complete document at /openapi.json."""
    make = app.openapi

    def make_complete() -> Document:
        return app.openapi_schema or complete(make())

    app.openapi = make_complete  # type: ignore[method-assign]  # the way FastAPI documents


def complete(document: Document) -> Document:
    """FastAPI's document, filled up in place."""
    document["info"] |= {"summary": SUMMARY, "description": DESCRIPTION, "license": LICENSE}
    document["tags"] = [{"name": tag} for tag in dict.fromkeys(tag for tag, _ in NAMES.values())]
    document["servers"] = [{"url": "/", "description": "Where this document came from."}]
    document["security"] = [{}, *({name: []} for name in SECURITY_SCHEMES)]
    document["webhooks"] = build_webhooks(CALLBACKS)
    components = document["components"]
    for path, operation in list_operations(document):
        _complete_operation(operation)
        _share_faults(operation, components, is_openai=path.startswith(OPENAI_PREFIX))
    components["responses"] = dict(sorted(components["responses"].items()))
    components["schemas"] = _complete_schemas(components["schemas"])
    components["securitySchemes"] = SECURITY_SCHEMES
    return document


def list_operations(document: Document) -> Iterator[tuple[str, Document]]:
    """Each operation with its path."""
    for path, item in document["paths"].items():
        for operation in item.values():
            yield path, operation


def _complete_operation(operation: Document) -> None:
    name, answers = operation["operationId"], operation["responses"]
    tag, operation["summary"] = NAMES.get(name, ("Further", operation["summary"]))
    operation["tags"] = [tag]
    for parameter in operation.get("parameters", ()):
        _tidy_parameter(parameter)
    if "304" in HEADERS.get(name, {}):
        operation["parameters"] += [_build_header(header, *told) for header, told in ASKED.items()]
    for status, headers in HEADERS.get(name, {}).items():
        answer = answers.setdefault(status, {"description": TEXTS.get(status, "")})
        answer["headers"] = {h: {"description": HEADER_TEXTS[h], "schema": {"type": "string"}} for h in headers}
    for status in {"200", "206"} & answers.keys() if name in STREAMED else ():
        answers[status]["content"] = {kind: {"schema": schema} for kind, schema in STREAMED[name].items()}
    for content in operation.get("requestBody", {}).get("content", {}).values():
        _illustrate(content, REQUESTS.get(name, {}))
    for status, answer in answers.items():
        examples = ANSWERS.get(name if status in GOOD else f"{name} {status}", {})
        for kind, content in answer.get("content", {}).items():
            _illustrate(content, examples.get(kind, {}))
    if name in OPEN_TO_ALL:
        operation["security"] = []


def _tidy_parameter(parameter: Document) -> None:
    """A parameter is there or not: null is nothing that could be sent. Ids have one form everywhere."""
    schema = parameter["schema"]
    if [kind for kind in schema.get("anyOf", ()) if kind == {"type": "null"}]:
        (kind,) = [kind for kind in schema.pop("anyOf") if kind != {"type": "null"}]
        schema |= kind
    if parameter["name"] == "job_id":
        schema |= {"pattern": f"^{NAME_PATTERN}$", "maxLength": 52, "examples": [ID]}


def _build_header(name: str, text: str, example: str) -> Document:
    schema = {"type": "string", "examples": [example]}
    return {"name": name, "in": "header", "required": False, "description": text, "schema": schema}


def _illustrate(content: Document, examples: dict[str, Any]) -> None:
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}


def _share_faults(operation: Document, components: Document, *, is_openai: bool) -> None:
    """Put each error answer into the components once, and refer to it."""
    shared = components.setdefault("responses", {})
    answers = operation["responses"]
    _drop_unasked_validation(answers, is_openai=is_openai)
    for status in ANYWHERE:
        answers.setdefault(status, {})
    for status in [s for s, answer in answers.items() if int(s) in FAULTS and _is_problem(answer)]:
        name = name_of(int(status), is_openai=is_openai)
        shared[name] = build_answer(int(status), is_openai=is_openai)
        answers[status] = {"$ref": f"#/components/responses/{name}"}
    operation["responses"] = dict(sorted(answers.items()))


def _drop_unasked_validation(answers: Document, *, is_openai: bool) -> None:
    """FastAPI declares 422 by itself: ours is declared where it can be answered, and /v1 answers 400."""
    if is_openai or "HTTPValidationError" in str(answers.get("422")):
        answers.pop("422", None)


def _is_problem(answer: Document) -> bool:
    """Whether the answer is one of the shared kind; the probes answer 503 in their own way."""
    return "application/json" not in answer.get("content", {})


def _complete_schemas(schemas: Document) -> Document:
    """With those that no route names, and without FastAPI's own."""
    added: Document = {"OpenAIError": ENVELOPE}
    for model in MODELS:
        schema = model.model_json_schema(ref_template=f"{REF}{{model}}", mode="serialization")
        added |= schema.pop("$defs", {}) | {model.__name__: schema}
    added["Problem"]["properties"]["code"]["enum"] = sorted(Code)
    return {
        name: schema
        for name, schema in sorted((added | schemas).items())
        if name not in ("HTTPValidationError", "ValidationError")
    }
