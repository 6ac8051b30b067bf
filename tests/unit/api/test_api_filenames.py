"""What becomes of file names, and of the keys made of them."""

import re
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.filenames import FilenameError, build_upload_key, clean_filename

NOW = datetime(2025, 9, 11, 3, 45, 48, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        ("sample.mp4", "sample.mp4"),
        ("Résumé-2_final.MOV", "Résumé-2_final.MOV"),
        ("회의록 9월.mp4", "회의록_9월.mp4"),
        ("会議(1).mp4", "会議_1_.mp4"),
        ("हिन्दी.mp4", "हिन्दी.mp4"),
        ("مقطع.mp4", "مقطع.mp4"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\x", "x"),
        ("C:\\x.mp4", "x.mp4"),
        ("%2e%2e%2fx.mp4", "2e_2e_2fx.mp4"),
        ("-y.mp4", "y.mp4"),
        ("concat:a|b.mp4", "concat_a_b.mp4"),
        ("a%03d.mp4", "a_03d.mp4"),
        ("$(id);`rm`.mp4", "id_rm_.mp4"),
        ("<img onerror>.mp4", "img_onerror_.mp4"),
        ("\u202efdp.4pm", "fdp.4pm"),
        ("a\u200bb.mp4", "ab.mp4"),
        ("movie.mp4.exe", "movie.mp4.exe"),
        ("a..b.mp4", "a.b.mp4"),
        ("😀.mp4", "mp4"),
        ("😀" * 255, "file"),
        (unicodedata.normalize("NFD", "한글é.mp4"), "한글é.mp4"),
    ],
)
def test_cases_51_to_67_names_are_cleaned(name: str, cleaned: str) -> None:
    assert clean_filename(name) == cleaned


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/", "a\rb", "a\nb", "a\x00b", "a\x7fb", "é" * 513])
def test_cases_54_to_57_names_that_cannot_be_cleaned(name: str) -> None:
    with pytest.raises(FilenameError):
        clean_filename(name)


def test_a_long_name_is_shortened_by_bytes_and_keeps_its_ending() -> None:
    cleaned = clean_filename("가" * 300 + ".mp4")
    assert len(cleaned.encode()) <= 200
    assert re.fullmatch(r"가+\.mp4", cleaned)


def test_key_has_user_time_and_token() -> None:
    key = build_upload_key("anonymous", "sample.mp4", NOW, "3b3673a3")
    assert key == "videos/anonymous/20250911_034548_3b3673a3_sample.mp4"


@settings(max_examples=50)
@given(st.text(max_size=80))
def test_a_key_is_always_safe(name: str) -> None:
    try:
        key = build_upload_key("anonymous", name, NOW, "3b3673a3")
    except (FilenameError, UnicodeEncodeError):
        return
    assert re.fullmatch(r"videos/anonymous/20250911_034548_3b3673a3_[^/\\]+", key)
    assert len(key.encode()) <= 1024
    assert ".." not in key
    assert unicodedata.is_normalized("NFC", key)
