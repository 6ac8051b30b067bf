"""Requests made of openapi.json, to every operation of a live API: each answer is one that is published.

API_EXAMPLES sets how many requests fuzzing makes of each operation; a soak takes many.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from api.row import Row, parse_row
from api.schemas import StatusDocument
from crds.transcriptionjob import Spec
from tests.support.api_fakes import FakeStore, FakeUploads, a_manifest, a_result, a_row
from tests.support.live_api import LiveApi, serve
from tests.support.raw_http import build_request, exchange

EXAMPLES = int(os.environ.get("API_EXAMPLES", "5"))
WORD = {"word": " Hi.", "start": 0.0, "end": 1.0, "probability": 0.9}
FIGURES = {"temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.1}
SEGMENT = {"id": 0, "seek": 0, "start": 0.0, "end": 1.0, "text": " Hi.", "tokens": [1], "words": [WORD], **FIGURES}
TRANSCRIPT = {"text": " Hi.", "language": "en", "segments": [SEGMENT]}
RESULT = a_result() | {"formats": ["json", "txt", "srt", "vtt", "tsv"]}
CALLBACK = {"state": "Delivered", "id": "msg_1", "attempts": 1}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
)
MEANINGS = {
    "listJobs": "a next_token is one that an earlier page gave, with the same filters",
    "generateUrl": "a file name is counted in bytes, and something of it must be left",
    "requestProcess": "a video_url names an upload of this installation, a callback_url a host outside",
    "processVideo": "the same",
    "createTranscription": "a file must not be empty",
    "receiveResult": "a number has at most 19 digits, and a text no half of a surrogate pair",
}
"""Operations that refuse what no schema can tell, and what that is."""

AS_TEXT = {"include-operation-id": "watchJob", "checks": {"response_schema_conformance": {"enabled": False}}}
"""Its schema tells of the stream as a text, where schemathesis takes it to tell of each event."""


class EndingStore(FakeStore):
    """What came in through the API itself is transcribed at once."""

    def __init__(self, uploads: FakeUploads, *rows: Row) -> None:
        super().__init__(*rows)
        self._uploads = uploads

    async def create(self, name: str, spec: Spec, annotations: Any) -> Row:
        row = await super().create(name, spec, annotations)
        if spec.source.key in self._uploads.types:
            manifest = a_manifest(name, row.version + 1, {"state": "Succeeded", "attempt": 1, "result": RESULT})
            manifest["spec"] = spec.to_manifest()
            self.version += 1
            self.tell(parse_row(manifest))
        return row


@dataclass
class Findings:
    operations: set[str] = field(default_factory=set)
    cases: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def see(self, event: events.EngineEvent) -> None:
        if isinstance(event, events.NonFatalError | events.FatalError):
            self.failures[f"error in {getattr(event, 'label', 'the run')}"] = repr(event)
        if isinstance(event, events.ScenarioFinished):
            self.cases += len(event.recorder.cases)
            self.operations.add(event.recorder.label)
            for case_id, checks in event.recorder.checks.items():
                for check in checks:
                    if check.status is Status.FAILURE and check.failure_info is not None:
                        self._note(event, case_id, check)

    def _note(self, event: events.ScenarioFinished, case_id: str, check: Any) -> None:
        case = event.recorder.cases[case_id].value
        answer = event.recorder.interactions[case_id].response
        shown = answer.content[:500] if answer is not None and answer.content else b""
        told = f"{check.failure_info.failure.title}: {check.failure_info.failure.message}"
        self.failures[f"{case.operation.label}: {told}"[:600]] = f"{case.as_curl_command()[:700]}\n{shown!r}"


def look(api: LiveApi, headers: dict[str, str], **config: Any) -> Findings:
    """Everything that a run of schemathesis finds; the same on each run."""
    found = Findings()
    settings = SchemathesisConfig.from_dict(
        {
            "generation": {"deterministic": True, "max-examples": EXAMPLES, "no-shrink": True, "database": "none"},
            "request-timeout": 5,
            "max-redirects": 0,
            "continue-on-failure": True,
            "headers": headers,
            "checks": {"enabled": False} | {name: {"enabled": True} for name in CHECKS},
            "operations": [*(_allow_meaning(name) for name in MEANINGS), AS_TEXT],
            **config,
        }
    )
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json", config=settings, headers=headers)
    for event in from_schema(schema).execute():
        found.see(event)
    return found


def _allow_meaning(operation: str) -> dict[str, Any]:
    refusal = "400" if operation == "createTranscription" else "422"
    usual = ["2xx", "3xx", "401", "403", "404", "409", "429"]
    checks = {"positive_data_acceptance": {"expected-statuses": [*usual, refusal]}}
    return {"include-operation-id": operation, "checks": checks}


def operations_of(api: LiveApi) -> set[str]:
    return {
        f"{method.upper()} {path}" for path, operations in api.app.openapi()["paths"].items() for method in operations
    }


def doors() -> tuple[EndingStore, FakeUploads]:
    stored = {str(a_result()["key"]).replace(".json", f".{name}"): b"Hi." for name in ("txt", "srt", "vtt", "tsv")}
    uploads = FakeUploads(**stored, **{RESULT["key"]: json.dumps(TRANSCRIPT).encode()})
    names = ("123456", "8e3c1f0a-52c4-4b3e-9a57-0d6f2b9c7e11")
    status = {"state": "Succeeded", "attempt": 1, "result": RESULT, "callback": CALLBACK}
    return EndingStore(uploads, *(a_row(name, n + 1, status) for n, name in enumerate(names))), uploads


@pytest.fixture(scope="module")
def live() -> Iterator[LiveApi]:
    with serve(*doors(), models=("demo", "tiny"), rate_requests=0) as api:
        yield api


def test_every_answer_is_one_that_is_published(live: LiveApi) -> None:
    found = look(live, {})
    assert found.failures == {}, "\n\n".join(f"{what}\n{how}" for what, how in found.failures.items())
    assert found.operations >= operations_of(live)
    assert found.cases > 300


def test_each_event_is_a_status_document(live: LiveApi) -> None:
    reply = exchange(live.port, build_request("GET", "/api/upload-video/jobs/123456/events"))
    events_told = reply.body.decode().strip().split("\n\n")
    for event in events_told:
        told = dict(line.split(": ", 1) for line in event.splitlines())
        assert StatusDocument.model_validate_json(told["data"]).job_id == "123456"
        assert told["id"].isdecimal()


def test_every_answer_is_one_that_is_published_when_keys_are_asked_for(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"acme sha256:{hashlib.sha256(b'a good key').hexdigest()}\n")
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    with serve(*doors(), auth_mode="api-key", keys_file=keys, callback_secret=secret, rate_requests=0) as api:
        only = {name: {"enabled": False} for name in ("coverage", "fuzzing", "stateful")}
        found = look(api, {"Authorization": "Bearer a good key"}, phases=only)
    assert found.failures == {}, "\n\n".join(f"{what}\n{how}" for what, how in found.failures.items())
