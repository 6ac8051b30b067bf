"""Fetching transcripts: names, tags, ranges, and what happens when the file is not there or S3 breaks off."""

import asyncio
import logging
import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.dispositions import build_download_name, render_disposition
from api.doors import RangeError
from api.transcripts import has_tag, parse_range
from tests.support.api_fakes import Caller, FakeStore, FakeUploads, a_result, a_row, slice_of

BASE = "/api/upload-video"
FOLDER = "transcripts/transcription/123456/uid/1"
JSON = b'{"text": "Hello.", "segments": [], "language": "en"}'
TEXT = b"Hello there, this is a transcript of some length.\n"


@pytest.fixture(autouse=True)
def _done(store: FakeStore, uploads: FakeUploads) -> None:
    result = a_result(f"{FOLDER}/transcript.json") | {"formats": ["json", "txt", "srt"]}
    store.rows.see(a_row(status={"state": "Succeeded", "result": result}))
    uploads.objects |= {f"{FOLDER}/transcript.json": JSON, f"{FOLDER}/transcript.txt": TEXT}
    uploads.objects[f"{FOLDER}/transcript.srt"] = b""


def fetch(client: Caller, output: str = "txt", method: str = "GET", **headers: str) -> Any:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return client.request(method, f"{BASE}/transcripts/123456.{output}", headers=named)


def test_the_json_is_answered_as_stored(client: Caller) -> None:
    answer = client.get(f"{BASE}/result/123456")
    assert (answer.status_code, answer.content) == (200, JSON)
    assert answer.headers["content-type"] == "application/json"
    assert "content-disposition" not in answer.headers


@pytest.mark.parametrize(
    ("output", "media_type"),
    [
        ("json", "application/json"),
        ("txt", "text/plain; charset=utf-8"),
        ("srt", "application/x-subrip; charset=utf-8"),
    ],
)
def test_a_format_is_a_file_of_its_type(output: str, media_type: str, client: Caller) -> None:
    answer = fetch(client, output)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == (
        f"attachment; filename=\"sample.{output}\"; filename*=UTF-8''sample.{output}"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["accept-ranges"] == "bytes"
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_head_says_the_same_and_reads_nothing(client: Caller, uploads: FakeUploads) -> None:
    whole = fetch(client)
    opened = uploads.opened
    answer = fetch(client, method="HEAD", Range="bytes=0-3")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers == whole.headers
    assert uploads.opened == opened
    assert client.request("HEAD", f"{BASE}/result/123456").headers["content-length"] == str(len(JSON))


def test_a_format_that_was_not_made_is_not_found_and_the_answer_says_which_are(client: Caller) -> None:
    answer = fetch(client, "vtt")
    assert (answer.status_code, answer.json()["code"]) == (404, "format_not_made")
    assert "json, txt, srt" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["transcripts/123456.txt", "result/123456"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_not_ready_is_a_conflict_with_the_status(
    path: str, method: str, client: Caller, store: FakeStore
) -> None:
    store.rows.see(a_row(version=2, status={"state": "Running"}))
    answer = client.request(method, f"{BASE}/{path}")
    assert answer.status_code == 409
    if method == "GET":
        assert (answer.json()["code"], answer.json()["job"]["state"]) == ("result_not_ready", "Running")


@pytest.mark.parametrize("headers", [{}, {"If-None-Match": '"x"'}, {"Range": "bytes=0-1"}])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_was_deleted_is_gone(headers: dict[str, str], method: str, client: Caller, uploads: FakeUploads) -> None:
    uploads.objects.clear()
    assert fetch(client, method=method, **headers).status_code == 410


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_s3_being_down_is_unavailable(method: str, client: Caller, uploads: FakeUploads) -> None:
    uploads.is_down = True
    answer = fetch(client, method=method)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("spelling", ["{}", "W/{}", '"x", {}', '"a,b" ,W/{}', "*"])
def test_what_the_client_has_is_not_sent_again(
    spelling: str, method: str, client: Caller, uploads: FakeUploads
) -> None:
    etag = fetch(client).headers["etag"]
    opened = uploads.opened
    answer = fetch(client, method=method, If_None_Match=spelling.format(etag), Range="bytes=0-3")
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag
    assert "content-length" not in answer.headers
    assert uploads.opened == opened


@pytest.mark.parametrize("tag", ['"x"', "x", '"', ""])
def test_another_tag_gets_the_file(tag: str, client: Caller) -> None:
    assert fetch(client, If_None_Match=tag).content == TEXT


def test_a_tag_within_another_is_another() -> None:
    assert not has_tag('"abc"', '"b"')
    assert not has_tag("abc", '"abc"')


def test_a_range_is_a_part(client: Caller) -> None:
    answer = fetch(client, Range="bytes=6-10")
    assert (answer.status_code, answer.content) == (206, b"there")
    assert answer.headers["content-range"] == f"bytes 6-10/{len(TEXT)}"
    assert answer.headers["content-length"] == "5"


@pytest.mark.parametrize("asked", [f"bytes={len(TEXT)}-", "bytes=-0", "bytes=9999-99999"])
def test_a_range_behind_the_end_says_how_long_the_file_is(asked: str, client: Caller) -> None:
    answer = fetch(client, Range=asked)
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(TEXT)}"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,3-4", "lines=0-1", "bytes=3-1", "bytes=", "bytes=-", "bytes=a-b", "bytes=٣-٤", "0-1", ""]
)
def test_anything_else_is_the_whole_file(asked: str, client: Caller) -> None:
    answer = client.get(f"{BASE}/transcripts/123456.txt", headers=[(b"Range", asked.encode())])
    assert (answer.status_code, answer.content) == (200, TEXT)


@pytest.mark.parametrize(("condition", "status"), [("same", 206), ('"x"', 200), ("Mon, 23 Nov 2026 16:16:05 GMT", 200)])
def test_a_range_of_another_version_is_the_whole_file(condition: str, status: int, client: Caller) -> None:
    condition = fetch(client).headers["etag"] if condition == "same" else condition
    assert fetch(client, Range="bytes=0-4", If_Range=condition).status_code == status
    assert fetch(client, Range="bytes=0-4", If_Range=f"W/{condition}").status_code == 200


@given(
    header=st.one_of(
        st.from_regex(r"(?i:bytes)=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True),
        st.from_regex(r"bytes=[0-9]{1,25}-[0-9]{0,25}", fullmatch=True),
        st.text(max_size=20),
    ),
    size=st.integers(0, 300),
)
def test_any_range_header_is_the_right_part_or_the_whole(header: str, size: int) -> None:
    body = bytes(index % 256 for index in range(size))
    byte_range = parse_range(header)
    if byte_range is None:
        return
    first, last = re.fullmatch(r"bytes=(\d*)-(\d*)", byte_range).groups()  # type: ignore[union-attr]
    wanted = range(int(first), int(last or size) + 1) if first else range(size - int(last), size)
    expected = bytes(byte for index, byte in enumerate(body) if index in wanted)
    try:
        assert body[slice_of(byte_range, size)] == expected != b""
    except RangeError:
        assert expected == b""
    assert byte_range.removeprefix("bytes=") == "-".join(
        part and str(int(part)) for part in header.strip()[6:].split("-")
    )


def test_a_client_that_goes_away_ends_the_reading(client: Caller, uploads: FakeUploads) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body"):
            raise OSError

    with pytest.raises(Exception, match=r"^$"):
        client._loop.run_until_complete(_call(client, send))
    assert len(sent) == 2
    assert uploads.reading == 0


def test_a_file_that_breaks_off_leaves_the_answer_unfinished(
    client: Caller, uploads: FakeUploads, caplog: pytest.LogCaptureFixture
) -> None:
    uploads.breaks_after = 2
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    with caplog.at_level(logging.WARNING, "api.transcripts"):
        client._loop.run_until_complete(_call(client, send))
    assert [len(message.get("body", b"")) for message in sent] == [0, 7, 7]
    assert sent[-1]["more_body"]
    assert [record.__dict__["transcription"] for record in caplog.records] == ["transcription/123456"]
    assert uploads.reading == 0


async def _call(client: Caller, send: Any) -> None:
    path = f"{BASE}/transcripts/123456.txt"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"api")],
        "client": ("127.0.0.1", 1),
        "server": ("api", 80),
    }

    async def receive() -> Any:
        await asyncio.Event().wait()

    await client.app(scope, receive, send)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("videos/anonymous/20250911_034548_3b3673a3_sample.mp4", "sample.srt"),
        ("videos/anonymous/20250911_034548_3b3673a3_회의_기록.mp4", "회의_기록.srt"),
        ("videos/anonymous/20250911_034548_3b3673a3_a.b.MOV", "a.b.srt"),
        ("videos/anonymous/20250911_034548_3b3673a3_movie", "movie.srt"),
        ("videos/anonymous/20250911_034548_3b3673a3_.mp4", "mp4.srt"),
        ("videos/anonymous/20250911_034548_3b3673a3_20250911_034548_3b3673a3_x.mp4", "20250911_034548_3b3673a3_x.srt"),
        ("archive/20250911_034548_3b3673a3_sample.mp4", "20250911_034548_3b3673a3_sample.srt"),
        ('talks/say "hi" \\ there.mp4', "say _hi_ _ there.srt"),
        ("talks/a\r\nX: b;c.mp4", "aX_ b_c.srt"),
        ("talks/\u202efdp.mp4", "fdp.srt"),
        ("talks/..", "transcript.srt"),
        ("talks/", "transcript.srt"),
    ],
)
def test_the_file_is_called_as_the_upload(key: str, name: str) -> None:
    assert build_download_name(key, "srt") == name


def test_old_clients_get_a_name_in_ascii() -> None:
    assert (
        render_disposition("회의.srt")
        == "attachment; filename=\"transcript.srt\"; filename*=UTF-8''%ED%9A%8C%EC%9D%98.srt"
    )
    assert render_disposition("Café.srt").startswith('attachment; filename="Cafe.srt";')


@given(key=st.text(max_size=400))
def test_no_key_makes_a_header_that_says_more_than_a_name(key: str) -> None:
    name = build_download_name(f"talks/{key}", "txt")
    header = render_disposition(name)
    found = re.fullmatch(r"attachment; filename=\"([ -~]+)\"; filename\*=UTF-8''([A-Za-z0-9._~%-]+)", header)
    assert found
    assert not set('"\\/;%') & set(found[1])
    assert unquote(found[2]) == name
    assert not set('"\\/\r\n\0') & set(name)
    assert name not in (".txt", "..txt")
    assert len(name.encode()) <= 204


def test_somebody_elses_name_is_nothing_of_ours(client: Caller, store: FakeStore) -> None:
    row = store.rows.get("123456")
    assert row is not None
    store.rows.see(replace(row, source_key="a/b.mp4", version=row.version + 1))
    assert 'filename="b.txt"' in fetch(client).headers["content-disposition"]
