"""Transcripts are fetched from the real S3: whole, in parts, and not again when the client has them."""

import json
from typing import Any

import httpx2 as httpx
import pytest

from crds.transcriptionjob import FORMATS
from tests.cluster.conftest import API_URL
from tests.support.bucket import Bucket
from tests.support.service import PREFIX
from tests.support.transcriptions import Run


def fetch(run: Run, output: str, method: str = "GET", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx.request(method, f"{API_URL}{PREFIX}/transcripts/{run.name}.{output}", headers=named, timeout=30)


def stored(run: Run, output: str, bucket: Bucket) -> bytes:
    result = run.end.status.result
    assert result is not None
    return bucket.read(result.key_of(output))  # type: ignore[arg-type]


@pytest.mark.parametrize("output", FORMATS)
def test_every_format_comes_as_stored(output: str, good_run: Run, bucket: Bucket) -> None:
    answer = fetch(good_run, output)
    body = stored(good_run, output, bucket)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["content-length"] == str(len(body))
    assert answer.headers["content-disposition"].startswith("attachment; ")
    head = fetch(good_run, output, "HEAD")
    same = ("content-length", "content-type", "content-disposition", "etag")
    assert (head.status_code, head.content) == (200, b"")
    assert [head.headers[name] for name in same] == [answer.headers[name] for name in same]


def test_the_result_is_whispers_json(good_run: Run, bucket: Bucket) -> None:
    answer = httpx.get(f"{API_URL}{PREFIX}/result/{good_run.name}", timeout=30)
    assert answer.content == stored(good_run, "json", bucket)
    assert {"text", "segments", "language"} <= set(json.loads(answer.content))


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=5-", slice(5, None)), ("bytes=-7", slice(-7, None))],
)
def test_a_range_is_that_part(asked: str, part: slice, good_run: Run, bucket: Bucket) -> None:
    body = stored(good_run, "txt", bucket)
    answer = fetch(good_run, "txt", Range=asked)
    first, after, _ = part.indices(len(body))
    assert (answer.status_code, answer.content) == (206, body[part])
    assert answer.headers["content-range"] == f"bytes {first}-{after - 1}/{len(body)}"


def test_a_range_behind_the_end_says_how_long_the_file_is(good_run: Run, bucket: Bucket) -> None:
    size_bytes = len(stored(good_run, "txt", bucket))
    answer = fetch(good_run, "txt", Range=f"bytes={size_bytes}-")
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{size_bytes}"


@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=5-3", "lines=0-1"])
def test_any_other_range_is_the_whole_file(asked: str, good_run: Run, bucket: Bucket) -> None:
    answer = fetch(good_run, "txt", Range=asked)
    assert (answer.status_code, answer.content) == (200, stored(good_run, "txt", bucket))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_the_client_has_is_not_sent_again(method: str, good_run: Run) -> None:
    etag = fetch(good_run, "vtt").headers["etag"]
    answer = fetch(good_run, "vtt", method, If_None_Match=f'"x", W/{etag}')
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)


def test_a_range_of_another_version_is_the_whole_file(good_run: Run) -> None:
    etag = fetch(good_run, "srt").headers["etag"]
    assert fetch(good_run, "srt", Range="bytes=0-3", If_Range=etag).status_code == 206
    assert fetch(good_run, "srt", Range="bytes=0-3", If_Range='"x"').status_code == 200


@pytest.mark.parametrize("path", ["result/{}", "transcripts/{}.txt"])
def test_a_failed_one_has_none_and_the_answer_says_how_it_stands(path: str, bad_run: Run) -> None:
    answer = httpx.get(f"{API_URL}{PREFIX}/{path.format(bad_run.name)}", timeout=30)
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "result_not_ready")
    assert problem["job"]["status"] == "failed"
