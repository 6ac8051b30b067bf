"""Bad `video_url`s: cases 91 to 118 of the input corpus. None is ever fetched: it names an upload here, or nothing."""

import pytest

from tests.support.api_fakes import KEY, VIDEO_URL, Caller, FakeStore, some_settings

BASE = "/api/upload-video"
ENDPOINT = some_settings().s3_endpoint

FOREIGN = [
    pytest.param("http://169.254.169.254/latest/meta-data/", id="case_91_metadata"),
    *(
        pytest.param(f"http://{host}/{KEY}", id="case_92_spellings_of_it")
        for host in ("2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518")
    ),
    pytest.param(f"http://[::ffff:169.254.169.254]/{KEY}", id="case_93_mapped"),
    pytest.param(f"http://[64:ff9b::a9fe:a9fe]/{KEY}", id="case_94_translated"),
    pytest.param(f"http://[fd00:ec2::254]/{KEY}", id="case_95_local_ipv6"),
    pytest.param(f"http://metadata.google.internal/{KEY}", id="case_96_metadata_names"),
    *(pytest.param(f"http://{host}/{KEY}", id="case_97_loopback") for host in ("127.0.0.1", "127.1", "0", "localhost")),
    pytest.param(f"http://10.0.0.1/{KEY}", id="case_98_private"),
    pytest.param(f"http://kubernetes.default.svc/{KEY}", id="case_99_service"),
    pytest.param(f"https://media.127.0.0.1.nip.io/{KEY}", id="case_102_wildcard_name"),
    pytest.param(f"https://other.s3.amazonaws.com/{KEY}", id="case_113_other_bucket"),
    pytest.param(f"https://s3.us-east-1.amazonaws.com/other/{KEY}", id="case_113_other_bucket_in_the_path"),
    pytest.param(f"https://my.dotted.bucket.s3.amazonaws.com/{KEY}", id="case_113_bucket_with_dots"),
    pytest.param(f"s3://other/{KEY}", id="case_113_other_s3_url"),
    pytest.param(f"{ENDPOINT}/other/{KEY}", id="case_113_other_bucket_of_the_endpoint"),
    pytest.param(f"https://media.s3.amazonaws.com.evil.example/{KEY}", id="case_113_host_that_goes_on"),
    pytest.param("https://media.s3.amazonaws.com/transcripts/a.json", id="case_113_other_prefix"),
    pytest.param("https://media.s3.amazonaws.com/videosX/a.mp4", id="case_113_prefix_that_goes_on"),
    pytest.param(f"https://example.com/{KEY}", id="case_113_other_host"),
    pytest.param(f"https://other.s3.amazonaws.com/{KEY}?X-Amz-Signature=0", id="case_114_presigned_elsewhere"),
    pytest.param(f"http://api{BASE}/process-video", id="case_115_this_api"),
    pytest.param(f"http://transcription-api.transcription.svc:8080{BASE}/jobs", id="case_115_this_api_inside"),
]

MALFORMED = [
    pytest.param(f"http://good@169.254.169.254/{KEY}", id="case_100_user"),
    pytest.param(f"http://good:80@127.0.0.1:81/{KEY}", id="case_100_user_and_port"),
    pytest.param(f"https://media.s3.amazonaws.com\\@evil.example/{KEY}", id="case_100_backslash"),
    pytest.param(f"{VIDEO_URL.replace('https://', 'https://me:pw@')}", id="case_100_user_of_a_good_one"),
    pytest.param(f"http://169.254.169.254#@media.s3.amazonaws.com/{KEY}", id="case_101_fragment"),
    *(
        pytest.param(f"{scheme}:{rest}", id=f"case_107_{scheme}")
        for scheme in ("file", "ftp", "gopher", "dict", "ldap", "data", "jar", "javascript")
        for rest in ("///etc/passwd", f"//media/{KEY}", "x")
    ),
    pytest.param(VIDEO_URL.replace("https", "HTTPS"), id="case_108_upper_case"),
    pytest.param(VIDEO_URL.replace("https", "hTTps"), id="case_108_mixed_case"),
    pytest.param(f" {VIDEO_URL}", id="case_108_space_before"),
    pytest.param(VIDEO_URL.replace("//", "/"), id="case_108_one_slash"),
    pytest.param(VIDEO_URL.replace("//", ""), id="case_108_no_slash"),
    pytest.param(VIDEO_URL.removeprefix("https:"), id="case_108_no_scheme"),
    *(pytest.param(f"https://media.s3.amazonaws.com:{n}/{KEY}", id=f"case_109_port_{n}") for n in (0, 65536, -1)),
    pytest.param(f"https://media.s3.amazonaws.com/{'a' * 10_000}", id="case_110_long"),
    pytest.param(f"https://{'a' * 7000}.example/{KEY}", id="case_110_long_label"),
    pytest.param(f"https://{'a.' * 300}example/{KEY}", id="case_110_many_labels"),
    pytest.param(f"https://mediа.s3.amazonaws.com/{KEY}", id="case_111_homograph"),
    pytest.param(f"https://\u2460.s3.amazonaws.com/{KEY}", id="case_111_circled_digit"),
    pytest.param(f"{VIDEO_URL}%00", id="case_112_nul"),
    pytest.param(f"{VIDEO_URL}%0d%0aX: y", id="case_112_line_break"),
    pytest.param(f"{VIDEO_URL}\t", id="case_112_tab"),
    pytest.param(f"https://media.s3.amazonaws.com/\n{KEY}", id="case_112_newline"),
    pytest.param("https://media.s3.amazonaws.com/videos/../transcripts/a.json", id="case_113_dots"),
    pytest.param("https://media.s3.amazonaws.com/videos/%2e%2e/transcripts/a.json", id="case_113_escaped_dots"),
    pytest.param(f"http+unix://%2Fvar%2Frun%2Fdocker.sock/{KEY}", id="case_118_unix"),
    pytest.param(f"http://[v1.x]/{KEY}", id="case_118_future_address"),
    pytest.param(f"http://[::1/{KEY}", id="case_118_open_bracket"),
]


@pytest.mark.parametrize("url", FOREIGN)
def test_a_url_of_something_else_is_not_found(client: Caller, store: FakeStore, url: str) -> None:
    answer = client.post(f"{BASE}/request-process", json={"video_url": url})
    assert (answer.status_code, answer.json()["code"]) == (404, "object_not_found")
    assert url not in answer.text
    assert store.specs == {}


@pytest.mark.parametrize("url", MALFORMED)
def test_a_url_that_is_none_is_refused(client: Caller, store: FakeStore, url: str) -> None:
    answer = client.post(f"{BASE}/request-process", json={"video_url": url})
    assert (answer.status_code, answer.json()["code"]) in ((422, "invalid_video_url"), (422, "validation_failed"))
    assert store.specs == {}


@pytest.mark.parametrize("port", [22, 25, 2379, 6443, 10250])
def test_case_109_another_port_is_another_host(client: Caller, store: FakeStore, port: int) -> None:
    url = f"https://media.s3.amazonaws.com:{port}/{KEY}"
    assert client.post(f"{BASE}/request-process", json={"video_url": url}).status_code == 404
    assert store.specs == {}


@pytest.mark.parametrize("host", ["xn--mdi-cbb0d.s3.amazonaws.com", "xn--a.example", "xn--.example"])
def test_case_111_punycode_is_another_host(client: Caller, store: FakeStore, host: str) -> None:
    assert client.post(f"{BASE}/request-process", json={"video_url": f"https://{host}/{KEY}"}).status_code in (404, 422)
    assert store.specs == {}


def test_case_114_the_query_of_a_presigned_url_is_never_stored(client: Caller, store: FakeStore) -> None:
    url = f"{VIDEO_URL}?X-Amz-Credential=AKIA&X-Amz-Signature=0123"
    assert client.post(f"{BASE}/request-process", json={"video_url": url}).status_code == 202
    (spec,) = store.specs.values()
    assert spec.source.key == KEY
    assert "Amz" not in spec.model_dump_json()
