"""Bad file names, types and sizes at generate-url: cases 51 to 69 and 76 of the input corpus."""

import re
import unicodedata
from typing import Any

import pytest

from tests.support.api_fakes import Caller, FakeUploads

BASE = "/api/upload-video"
KEY = re.compile(r"videos/anonymous/20250911_034548_[0-9a-f]{8}_(?P<name>.+)")


def ask(client: Caller, filename: Any, **fields: Any) -> Any:
    asked = {"filename": filename, "content_type": "video/mp4"} | fields
    return client.post(f"{BASE}/generate-url", json=asked)


CLEANED = [
    pytest.param("../../etc/passwd", "passwd", id="case_51_parent_folders"),
    pytest.param("..\\..\\x", "x", id="case_52_backslashes"),
    pytest.param("%2e%2e%2f", "2e_2e_2f", id="case_52_escaped"),
    pytest.param("%252e%252e%252f", "252e_252e_252f", id="case_52_escaped_twice"),
    pytest.param("/etc/shadow", "shadow", id="case_53_absolute"),
    pytest.param("C:\\x", "x", id="case_53_drive"),
    pytest.param("😀" * 255, "file", id="case_58_255_emoji"),
    pytest.param("가" * 340 + ".m", "가" * 66 + ".m", id="case_58_1022_bytes"),
    pytest.param("\u202efdp.4pm", "fdp.4pm", id="case_60_right_to_left"),
    pytest.param("a\u200b\u200db\ufeff.mp4", "ab.mp4", id="case_61_zero_width"),
    pytest.param("\uff41\uff0e\uff0fmp4", "\uff41_mp4", id="case_61_homoglyphs"),
    pytest.param("-y.mp4", "y.mp4", id="case_62_option"),
    pytest.param("--exec=x.mp4", "exec_x.mp4", id="case_62_long_option"),
    pytest.param("concat:a|b", "concat_a_b", id="case_63_concat"),
    pytest.param("subfile,,start,0,,:a.mp4", "subfile_start_0_a.mp4", id="case_63_subfile"),
    pytest.param("http://x/a.mp4", "a.mp4", id="case_63_http"),
    pytest.param("data:video_mp4;base64,AA==", "data_video_mp4_base64_AA", id="case_63_data"),
    pytest.param("%d.mp4", "d.mp4", id="case_64_pattern"),
    pytest.param("a%03d.mp4", "a_03d.mp4", id="case_64_padded_pattern"),
    pytest.param("*.mp4", "mp4", id="case_64_glob"),
    pytest.param("$(id).mp4", "id_.mp4", id="case_65_substitution"),
    pytest.param("`id`; rm -rf ~ \"'.mp4", "id_rm_-rf_.mp4", id="case_65_shell"),
    pytest.param("<img src=x onerror=alert(1)>.mp4", "img_src_x_onerror_alert_1_.mp4", id="case_66_markup"),
    pytest.param("movie.mp4.exe", "movie.mp4.exe", id="case_67_two_endings"),
    pytest.param("movie", "movie", id="case_67_no_ending"),
    pytest.param("movie.MP4", "movie.MP4", id="case_67_capitals"),
    pytest.param("a..mp4", "a.mp4", id="case_67_two_dots"),
]


@pytest.mark.parametrize(("name", "cleaned"), CLEANED)
def test_a_name_is_cleaned_before_it_stands_in_a_key(
    client: Caller, uploads: FakeUploads, name: str, cleaned: str
) -> None:
    answer = ask(client, name)
    assert answer.status_code == 200
    found = KEY.fullmatch(answer.json()["fileKey"])
    assert found is not None
    assert found["name"] == cleaned
    assert uploads.signed == [(answer.json()["fileKey"], "video/mp4")]


REFUSED = [
    pytest.param("a\r\nX-Evil: 1.mp4", id="case_54_line_break"),
    pytest.param("a\n.mp4", id="case_54_newline"),
    pytest.param("a\x00.mp4", id="case_55_nul"),
    pytest.param("", id="case_56_empty"),
    pytest.param("   ", id="case_56_spaces"),
    pytest.param(".", id="case_56_dot"),
    pytest.param("..", id="case_56_dots"),
    pytest.param("a/..", id="case_56_dots_at_the_end"),
    pytest.param("é" * 512 + "x", id="case_57_1025_bytes"),
    pytest.param("x" * 900_000, id="case_57_long"),
    pytest.param("x" * 1024 * 1024, id="case_57_megabyte"),
    pytest.param(["a.mp4"], id="case_51_no_text"),
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_that_cannot_be_used_is_refused(client: Caller, uploads: FakeUploads, name: Any) -> None:
    answer = ask(client, name)
    assert answer.status_code == (413 if len(name) >= 1024 * 1024 else 422)
    assert answer.json()["code"] in ("invalid_filename", "validation_failed", "body_too_large")
    assert uploads.signed == []


def test_case_59_two_spellings_of_a_name_are_two_uploads(client: Caller) -> None:
    spellings = [unicodedata.normalize(form, "한글é.mp4") for form in ("NFC", "NFD")]
    keys = {ask(client, name).json()["fileKey"] for name in spellings}
    assert len(keys) == 2
    assert {key.rsplit("_", 1)[1] for key in keys} == {spellings[0]}


TYPES = [
    "text/html",
    "image/svg+xml",
    "video/" + "x" * 10_000,
    "video/mp4\r\nX: y",
    "*/*",
    "video/*",
    "video/",
    "",
    None,
]


@pytest.mark.parametrize("kind", [pytest.param(kind, id=f"case_68_{str(kind)[:20]!r}") for kind in TYPES])
def test_case_68_a_media_type_that_is_none(client: Caller, kind: str | None) -> None:
    for field in ("content_type", "filetype"):
        assert client.post(f"{BASE}/generate-url", json={"filename": "a.mp4", field: kind}).status_code == 422


def test_case_68_a_missing_or_contradicting_type(client: Caller) -> None:
    for none in ({}, {"content_type": "", "filetype": ""}, {"content_type": ""}, {"filetype": None}):
        assert client.post(f"{BASE}/generate-url", json={"filename": "a.mp4", **none}).status_code == 422
    assert ask(client, "a.mp4", filetype="audio/mp3").status_code == 422


@pytest.mark.parametrize("size", [0, -1, 1.5, "1e9", 2**63, 5 * 1024**3 + 1])
@pytest.mark.parametrize("field", ["size", "file_size", "content_length"])
def test_case_69_a_size_is_no_field(client: Caller, uploads: FakeUploads, field: str, size: Any) -> None:
    """What is uploaded is measured, when it is to be transcribed."""
    assert ask(client, "a.mp4", **{field: size}).status_code == 422
    assert uploads.signed == []


@pytest.mark.parametrize("seconds", [8 * 86400, 0, -1])
def test_case_75_an_expiry_is_no_field(client: Caller, uploads: FakeUploads, seconds: int) -> None:
    assert ask(client, "a.mp4", expires_in=seconds).status_code == 422
    assert uploads.signed == []


@pytest.mark.parametrize("field", ["bucket", "prefix", "key", "fileKey", "endpoint", "tenant"])
def test_case_76_the_client_chooses_no_bucket_or_prefix(client: Caller, uploads: FakeUploads, field: str) -> None:
    assert ask(client, "a.mp4", **{field: "other"}).status_code == 422
    assert uploads.signed == []


@pytest.mark.parametrize(("absent", "given"), [("content_type", "filetype"), ("filetype", "content_type")])
def test_an_empty_type_is_as_none(client: Caller, uploads: FakeUploads, absent: str, given: str) -> None:
    asked = {"filename": "a.mp4", absent: "", given: "video/mp4"}
    assert client.post(f"{BASE}/generate-url", json=asked).status_code == 200
    assert uploads.signed[0][1] == "video/mp4"


@pytest.mark.parametrize(
    "kind", ["video/mp4", "audio/mpeg", "video/x-matroska", "video/webm;codecs=vp8,opus", "Video/MP4"]
)
def test_any_video_or_audio_type_is_fine(client: Caller, kind: str) -> None:
    assert ask(client, "a.txt", content_type=kind).status_code == 200
