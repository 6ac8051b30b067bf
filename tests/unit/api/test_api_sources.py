"""Every way to write where a video lies."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.sources import ForeignVideoError, Storage, VideoUrlError, _parse, build_video_url, parse_video_url

STORAGE = Storage("my-bucket", "https://s3.example.com", ("https://s3.example.com", "http://s3.internal:9000"))
KEY = "videos/anonymous/20250911_034548_3b3673a3_회의 +1.mp4"
ENCODED = "videos/anonymous/20250911_034548_3b3673a3_%ED%9A%8C%EC%9D%98%20+1.mp4"


@pytest.mark.parametrize(
    "url",
    [
        f"https://my-bucket.s3.amazonaws.com/{ENCODED}",
        f"https://my-bucket.s3.us-west-2.amazonaws.com/{ENCODED}",
        f"https://my-bucket.s3-us-west-2.amazonaws.com/{ENCODED}",
        f"https://my-bucket.s3.dualstack.ap-northeast-2.amazonaws.com/{ENCODED}",
        f"https://my-bucket.s3.cn-north-1.amazonaws.com.cn/{ENCODED}",
        f"https://my-bucket.s3.us-gov-west-1.amazonaws.com/{ENCODED}",
        f"https://s3.amazonaws.com/my-bucket/{ENCODED}",
        f"https://s3.us-west-2.amazonaws.com/my-bucket/{ENCODED}",
        f"https://s3-us-west-2.amazonaws.com/my-bucket/{ENCODED}",
        f"https://s3.dualstack.us-west-2.amazonaws.com/my-bucket/{ENCODED}",
        f"http://my-bucket.s3.amazonaws.com:80/{ENCODED}",
        f"https://MY-BUCKET.S3.amazonaws.com:443/{ENCODED}",
        f"https://s3.example.com/my-bucket/{ENCODED}",
        f"https://s3.example.com:443/my-bucket/{ENCODED}",
        f"https://my-bucket.s3.example.com/{ENCODED}",
        f"http://s3.internal:9000/my-bucket/{ENCODED}",
        f"http://s3.internal:9000/my-bucket/{ENCODED}?X-Amz-Signature=0&X-Amz-Expires=900",
    ],
)
def test_every_form_of_an_http_url_names_the_same_key(url: str) -> None:
    assert parse_video_url(url, STORAGE) == KEY


@pytest.mark.parametrize("key", ["videos/a b.mp4", "videos/a\u00a0b.mp4", "videos/a\\b.mp4", "videos/한글 #?.mp4"])
def test_an_s3_url_may_hold_what_a_key_may(key: str) -> None:
    assert parse_video_url(f"s3://my-bucket/{key}", STORAGE) == key


@pytest.mark.parametrize("sign", [" ", "\u00a0", "\\"])
def test_a_raw_http_url_is_told_to_encode(sign: str) -> None:
    with pytest.raises(VideoUrlError, match="percent-encode the key"):
        parse_video_url(f"https://my-bucket.s3.amazonaws.com/videos/a{sign}b.mp4", STORAGE)


def test_an_s3_url_is_not_decoded() -> None:
    assert parse_video_url("s3://my-bucket/videos/100%25.mp4", STORAGE) == "videos/100%25.mp4"


@pytest.mark.parametrize("key", [KEY, "videos/a/100%.mp4", "videos/a/#?&=+.mp4", "videos/a/한글 이름.mp4"])
@pytest.mark.parametrize("storage", [STORAGE, Storage("my-bucket")])
def test_what_is_built_is_read_back(key: str, storage: Storage) -> None:
    assert parse_video_url(build_video_url(key, storage), storage) == key


def test_without_an_endpoint_the_url_is_the_one_of_aws() -> None:
    assert build_video_url("videos/a b.mp4", Storage("b-1")) == "https://b-1.s3.amazonaws.com/videos/a%20b.mp4"


@pytest.mark.parametrize(
    "url",
    [
        "http://s3.internal/my-bucket/videos/a.mp4",
        "https://s3.internal:9000/my-bucket/videos/a.mp4",
        "https://my-bucket.s3.amazonaws.com:8443/videos/a.mp4",
        "https://my-bucket.s3.evil.com/videos/a.mp4",
        "https://my-bucket.s3.amazonaws.com/videosx/a.mp4",
        "https://my-bucket.s3.amazonaws.com/transcripts/a.json",
        "s3://my-bucket/callbacks/a.json",
        "http://[::1]/videos/a.mp4",
        "http://127.0.0.1/my-bucket/videos/a.mp4",
    ],
)
def test_a_well_formed_url_of_something_else_is_foreign(url: str) -> None:
    with pytest.raises(ForeignVideoError):
        parse_video_url(url, STORAGE)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "videos/a.mp4",
        "//my-bucket/videos/a.mp4",
        "HTTPS://my-bucket.s3.amazonaws.com/videos/a.mp4",
        " https://my-bucket.s3.amazonaws.com/videos/a.mp4",
        "http:/x",
        "http:x",
        "http+unix://x/y",
        "http://[v1.x]/",
        "http://[::1/",
        "https://user@my-bucket.s3.amazonaws.com/videos/a.mp4",
        "https://good:80@127.0.0.1:81/videos/a.mp4",
        "https://my-bucket.s3.amazonaws.com\\@evil/videos/a.mp4",
        "https://my-bucket.s3.amazonaws.com:65536/videos/a.mp4",
        "https://my-bucket.s3.amazonaws.com:-1/videos/a.mp4",
        "https://my-bucket.s3.amazonaws.com:0/videos/a.mp4",
        "https://my-bucket.s3.amazonaws.com",
        "https://my-bucket.s3.amazonaws.com/",
        "https://my-bucket.s3.amazonaws.com/videos/a%zz.mp4",
        "https://my-bucket.s3.amazonaws.com/videos/%ff%fe.mp4",
        "https://my-bucket.s3.amazonaws.com/videos/%00.mp4",
        "https://my-bucket.s3.amazonaws.com/videos/%0d%0a.mp4",
        "https://my-bucket.s3.amazonaws.com/videos/a\t.mp4",
        "https://my-bucket.s3.amazonaws.com/videos/a.mp4#t=10",
        "https://my-bucket.s3.amazonaws.com/videos/../transcripts/a.json",
        "https://my-bucket.s3.amazonaws.com/videos/%2e%2e/transcripts/a.json",
        "https://my-bucket.s3.amazonaws.com/videos/" + "x" * 1020,
        "https://" + "a" * 64 + ".example/videos/a.mp4",
        "https://example.com/" + "x" * 10_000,
        "https://예시.example/videos/a.mp4",
        "s3:///videos/a.mp4",
        "s3://my-bucket/videos/a\n.mp4",
        "s3://my-bucket/videos/a\x7f.mp4",
        "s3://my-bucket",
        "s3://key:secret@my-bucket/videos/a.mp4",
    ],
)
def test_a_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(VideoUrlError):
        parse_video_url(url, STORAGE)


@settings(max_examples=50)
@given(st.text() | st.text().map("https://my-bucket.s3.amazonaws.com/".__add__) | st.text().map("http://".__add__))
def test_no_text_does_anything_else(url: str) -> None:
    try:
        key = parse_video_url(url, STORAGE)
    except (VideoUrlError, ForeignVideoError):
        return
    assert key.startswith("videos/")


@given(rest=st.text("ab0_-./%2e \\\n?#:@é", max_size=30), storage=st.sampled_from([STORAGE, Storage("my-bucket")]))
@settings(max_examples=300)
def test_the_short_way_reads_what_the_long_one_reads(rest: str, storage: Storage) -> None:
    url = build_video_url("videos/", storage) + rest

    def read(parse: Callable[[str, Storage], str]) -> str:
        try:
            return parse(url, storage)
        except (VideoUrlError, ForeignVideoError) as error:
            return repr(error)

    assert read(parse_video_url) == read(_parse)


@pytest.mark.parametrize("chars", [900, 1010, 1017, 1018, 5000, 9000])
def test_the_short_way_has_the_bounds_of_the_long_one(chars: int) -> None:
    url = build_video_url("videos/" + "a" * chars, STORAGE)
    if chars <= 1017:
        assert parse_video_url(url, STORAGE) == _parse(url, STORAGE)
        return
    with pytest.raises(VideoUrlError):
        parse_video_url(url, STORAGE)
