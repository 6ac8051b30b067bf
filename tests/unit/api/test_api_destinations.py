"""URLs that lead inside, or that parsers read differently, in both fields that take one; by number of the corpus."""

import pytest

from api.destinations import BROKEN, INSIDE, PORT, find_obstacle
from crds.addresses import Allowed
from tests.support.api_fakes import VIDEO_URL, Caller, FakeStore

BASE = "/api/upload-video"
NOTHING = Allowed()

CASES = {
    91: ["http://169.254.169.254/", "http://169.254.169.254/latest/meta-data/"],
    92: [
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0xA9.0xFE.0xA9.0xFE/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://169.16689662/",
        "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/",
        "http://１６９.２５４.１６９.２５４/",
        "http://169。254。169。254/",
    ],
    93: ["http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/", "http://[0:0:0:0:0:ffff:a9fe:a9fe]/"],
    94: ["http://[64:ff9b::a9fe:a9fe]/", "http://[2002:a9fe:a9fe::]/", "http://[2001::a9fe:a9fe]/"],
    95: ["http://[fd00:ec2::254]/", "http://[fe80::1%25eth0]/", "http://[fe80::1]/", "http://[::1]/", "http://[::]/"],
    96: ["http://metadata.google.internal/", "http://168.63.129.16/", "http://100.100.100.200/"],
    97: [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0/",
        "http://0.0.0.0/",
        "http://0x0/",
        "http://localhost/",
        "http://LOCALHOST/",
        "http://localhost./",
        "http://sub.localhost/",
        "http://127.0.0.1./",
    ],
    98: [
        "http://10.0.0.1/",
        "http://172.31.255.255/",
        "http://192.168.0.1/",
        "http://100.64.0.1/",
        "http://192.0.0.1/",
        "http://198.18.0.1/",
        "http://240.0.0.1/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
    ],
    99: [
        "http://kubernetes.default.svc/",
        "http://kubernetes.default.svc./",
        "http://api.media.svc.cluster.local/",
        "http://kubernetes/",
        "http://10.96.0.1/",
    ],
    100: [
        "http://good@169.254.169.254/",
        "http://good:80@127.0.0.1:81/",
        "http://good.example\\@127.0.0.1/",
        "http://127.0.0.1\\@good.example/",
        "http://good:pw@good.example/",
    ],
    101: ["http://169.254.169.254#@good.example/", "http://good.example/#x", "http://good.example#/"],
    107: ["ftp://good.example/", "gopher://good.example/", "javascript:alert(1)", "data:,x", "jar:http://a.example!/"],
    108: [
        "HTTP://good.example/",
        "hTtPs://good.example/",
        " http://good.example/",
        "http:/good.example",
        "http:good.example",
        "//good.example",
        "http:///good.example",
        "",
    ],
    109: [f"http://good.example:{port}/" for port in (22, 25, 2379, 6443, 10250, 0, 65536, -1)],
    110: [
        "http://good.example/" + "x" * 10_000,
        "http://" + "x" * 10_000 + ".example/",
        "http://" + "x" * 64 + ".example/",
        "http://" + "x." * 300 + "example/",
    ],
    111: ["http://ex\u0430mple.com/", "http://пример.example/", "http://\u202eelpmaxe.com/", "http://ﬁ.example/"],
    112: [
        "http://good.example\x00.evil.example/",
        "http://good.example\r\nx: y/",
        "http://good\t.example/",
        "http://%00.example/",
        "http://good%0d%0a.example/",
        "http://%31%36%39.254.169.254/",
    ],
    115: ["http://transcription-api.transcription.svc:8080/api/upload-video/process-video"],
    118: [
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
        "http://[v1.x]/",
        "http://[::1/",
        "http://::1]/",
        "http://[]/",
        "http://a..example/",
        "http://-a.example/",
        "http://256.1.1.1/",
        "http://1.2.3.4.5/",
        "http://good.0x/",
    ],
}


def send(client: Caller, field: str, url: str) -> tuple[int, str, str]:
    asked = {"job_id": "a", "video_url": VIDEO_URL} | {field: url}
    answer = client.post(f"{BASE}/process-video", json=asked)
    return answer.status_code, answer.json()["code"], answer.json()["message"]


@pytest.mark.parametrize("case", CASES)
def test_cases_91_to_101_107_to_112_115_and_118_are_refused_as_callback_url(
    client: Caller, store: FakeStore, case: int
) -> None:
    for url in CASES[case]:
        status, code, message = send(client, "callback_url", url)
        assert (status, code) == (422, "validation_failed"), url
        assert "callback_url" in message
    assert store.list() == []


@pytest.mark.parametrize("case", CASES)
def test_cases_91_to_101_107_to_112_115_and_118_are_none_of_our_videos(
    client: Caller, store: FakeStore, case: int
) -> None:
    for url in CASES[case]:
        status, code, _ = send(client, "video_url", url)
        expected = {404: {"object_not_found"}, 422: {"invalid_video_url", "validation_failed"}}
        assert code in expected[status], url
    assert store.list() == []


def test_case_114_a_presigned_url_of_somebody_elses_bucket_is_not_found(client: Caller, store: FakeStore) -> None:
    url = VIDEO_URL.replace("//media.", "//other.") + "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0"
    assert send(client, "video_url", url)[:2] == (404, "object_not_found")
    assert store.list() == []


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/a/b?c=d",
        "http://example.com",
        "https://example.com:443/",
        "https://example.com:80/",
        "https://example.com./",
        "http://93.184.215.14/",
        "https://[2600:9000::1]/",
        "https://xn--hxajbheg2az3al.example/",
        "https://xn--zzzzzz99.example/",
        "https://a_b.example/",
        "https://example.com/user@host",
    ],
)
def test_a_receiver_outside_is_taken(client: Caller, store: FakeStore, url: str) -> None:
    asked = {"job_id": "a", "video_url": VIDEO_URL, "callback_url": url}
    assert client.post(f"{BASE}/process-video", json=asked).status_code == 202
    callback = store.specs["a"].callback
    assert callback is not None
    assert callback.url == url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://10.1.2.3/", INSIDE),
        ("https://hooks/", INSIDE),
        ("https://a.home.arpa/", INSIDE),
        ("https://hooks.example:8443/", PORT),
        ("https://93.184.215.14:8443/", PORT),
        ("https://user@hooks.example/", BROKEN),
        ("https://hooks.example/#a", BROKEN),
        ("https://[::1%25lo]/", BROKEN),
        ("https://[fe80::1%lo]/", BROKEN),
        ("https://0x/", BROKEN),
    ],
)
def test_the_sentence_says_what_is_wrong(url: str, fault: str) -> None:
    assert find_obstacle(url, NOTHING) == fault


@pytest.mark.parametrize(
    "url", ["http://Hooks.media.svc:8080/", "http://hooks.media.svc.:9/", "http://10.1.2.3:8080/", "http://0xa010203/"]
)
def test_a_receiver_inside_is_taken_when_the_installation_allows_it(url: str) -> None:
    assert find_obstacle(url, Allowed.parse(["hooks.media.svc", "10.1.0.0/16"])) is None


@pytest.mark.parametrize("url", ["http://a.hooks.media.svc/", "http://10.2.0.1/", "http://hooks/"])
def test_what_is_only_like_an_allowed_host_is_refused(url: str) -> None:
    assert find_obstacle(url, Allowed.parse(["hooks.media.svc", "10.1.0.0/16"])) == INSIDE
