import asyncio
import re
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from starlette.types import Message, Receive, Scope, Send

from api.metrics import METHODS, Metrics
from api.observe import Observe
from tests.support.api_fakes import Caller, FakeStore, a_row

HOSTILE = [
    ("GET", "/api/upload-video/status/4f1d7f0e-0000-4000-8000-secret000001"),
    ("GET", "/api/upload-video/jobs/secret/events"),
    ("DELETE", "/api/upload-video/jobs/secret-id"),
    ("GET", "/api/upload-video/transcripts/secret-id.srt"),
    ("GET", "/api/upload-video/transcripts/secret-id.exe"),
    ("PUT", "/api/upload-video/status/secret-id"),
    ("GET", "/secret"),
    ("GET", '/secret"} 1%0Amade_up{a="'),
    ("GET", "/api/upload-video/status/..%2fsecret"),
    ("SECRET", "/api/upload-video/jobs"),
    ("GET", "/api/upload-video/jobs?status=secret"),
    ("POST", "/api/upload-video/jobs/secret-id/cancel"),
    ("GET", "/v1/models/secret"),
    ("GET", "/docs/secret"),
]
UNPUBLISHED = (
    *("/docs", "/docs/start.js", "/docs/{asset}"),
    *("/openapi.json", "/metrics", "/v1/models/{model:path}", "unmatched"),
)
LABELS = {
    "method": METHODS | {"other"},
    "status": {str(status) for status in range(200, 600)},
    "system": {"s3", "kubernetes"},
}


def samples_of(text: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def test_no_label_has_anything_of_a_request(client: Caller, store: FakeStore) -> None:
    store.rows.put(a_row("secret-id", 200))
    for method, path in HOSTILE:
        client.request(method, path)
    templates = set(UNPUBLISHED).union(client.get("/openapi.json").json()["paths"])
    text = client.get("/metrics").text
    samples = [sample for sample in samples_of(text) if sample.name.startswith("transcription_api_request")]
    assert len({sample.labels["route"] for sample in samples}) > 4
    assert "secret" not in text
    for sample in samples:
        for label, value in sample.labels.items():
            assert label == "le" or value in (templates if label == "route" else LABELS[label])


def test_names_are_as_prometheus_wants_them() -> None:
    metrics = Metrics()
    metrics.follow(lambda: 1.0, lambda: 2)
    metrics.follow_keys(lambda: 0.5)
    metrics.count("GET", "/", 200, 0.1)
    metrics.note_call("s3", "head", "ok", 0.1)
    for family in text_string_to_metric_families(metrics.render().decode()):
        if family.name.endswith("_created"):
            continue
        assert re.fullmatch(r"transcription_api_[a-z0-9]+(_[a-z0-9]+)*", family.name)
        assert family.documentation.endswith(".")
        assert family.type != "histogram" or family.name.endswith("_seconds")
        assert family.type != "counter" or any(sample.name.endswith("_total") for sample in family.samples)
        assert not re.search(r"_(total|count|sum|bucket|ms|milliseconds)$", family.name)


def test_calls_to_other_systems_are_counted_by_outcome() -> None:
    metrics = Metrics()
    metrics.note_call("s3", "head", "ok", 0.2)
    metrics.note_call("s3", "head", "unavailable", 2.0)
    metrics.note_call("kubernetes", "create", "ok", 0.1)
    value = metrics.registry.get_sample_value
    calls = {"system": "s3", "operation": "head"}
    assert value("transcription_api_calls_total", calls | {"outcome": "ok"}) == 1
    assert value("transcription_api_calls_total", calls | {"outcome": "unavailable"}) == 1
    assert value("transcription_api_call_seconds_sum", calls) == pytest.approx(2.2)
    assert value("transcription_api_call_seconds_count", {"system": "kubernetes", "operation": "create"}) == 1


def test_the_cache_is_looked_at_each_time_that_prometheus_asks() -> None:
    live = [1]
    metrics = Metrics()
    metrics.follow(lambda: 1.5, lambda: live[0])
    assert "transcription_api_live_jobs 1.0" in metrics.render().decode()
    live[0] = 7
    text = metrics.render().decode()
    assert "transcription_api_live_jobs 7.0" in text
    assert "transcription_api_cache_age_seconds 1.5" in text


Look = Callable[[Metrics], None]


def serve_and_look(metrics: Metrics, look: Look, *, fails: bool = False) -> None:
    """One request through the layer, to an app whose answer is looked at between its first and its last byte."""

    async def answer(_: Scope, __: Receive, send: Send) -> None:
        if fails:
            raise ConnectionError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        look(metrics)
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/a", "path_params": {}}
    asyncio.run(Observe(answer, metrics, "transcription")(scope, receive, send))


def test_a_stream_counts_with_its_first_byte_and_is_open_until_its_last() -> None:
    seen: list[tuple[float | None, float | None]] = []
    counted = ("transcription_api_requests_total", {"method": "GET", "route": "unmatched", "status": "200"})

    def look(metrics: Metrics) -> None:
        value = metrics.registry.get_sample_value
        seen.append((value(*counted), value("transcription_api_open_requests")))

    metrics = Metrics()
    serve_and_look(metrics, look)
    look(metrics)
    assert seen == [(1, 1), (1, 0)]


def test_a_request_that_gets_no_answer_counts_as_500() -> None:
    metrics = Metrics()
    with pytest.raises(ConnectionError):
        serve_and_look(metrics, lambda _: None, fails=True)
    labels = {"method": "GET", "route": "unmatched", "status": "500"}
    assert metrics.registry.get_sample_value("transcription_api_requests_total", labels) == 1
    assert metrics.registry.get_sample_value("transcription_api_open_requests") == 0
