"""Bad HTTP and bad bodies on the wire, against uvicorn as `main` runs it: cases 1 to 39 of the input corpus.

Every answer comes within 5 s, is no 5xx, and is no success unless the case says so.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from functools import partial

import pytest

from api import bodies
from api.openai import form
from api.pace import Pace
from tests.support.api_fakes import VIDEO_URL, FakeStore, FakeUploads, a_result, a_row
from tests.support.live_api import LiveApi, serve
from tests.support.raw_http import Reply, build_request, exchange

BASE = "/api/upload-video"
POSTS = ("generate-url", "request-process", "process-video", "result")
AUDIO = "/v1/audio/transcriptions"
JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
FORM_BEGIN = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
CHUNKED = {"Transfer-Encoding": "chunked"}
FRONT = "https://front.example"
MIB = 1024 * 1024
REFUSED_BY_UVICORN = 0
"""It answers 400 and closes while more comes in; the kernel may then drop the answer on its way."""


@pytest.fixture(scope="module")
def live() -> Iterator[LiveApi]:
    ended = a_row("ended", status={"state": "Succeeded", "result": a_result()})
    with serve(FakeStore(ended), FakeUploads(), cors_origins=FRONT) as api:
        yield api


def post(live: LiveApi, path: str, body: bytes, headers: dict[str, str] = JSON) -> Reply:
    return exchange(live.port, build_request("POST", f"{BASE}/{path}", headers, body))


def assert_problem(reply: Reply, *statuses: int) -> None:
    """One of the statuses, as a problem with its members."""
    assert reply.status in statuses, reply
    problem = reply.json
    assert reply.headers["content-type"] == "application/problem+json"
    assert problem["status"] == reply.status
    assert problem["code"]
    assert problem["detail"]


def _kind(path: str) -> dict[str, str]:
    return MULTIPART if path == AUDIO else JSON


def fields(**values: object) -> bytes:
    return json.dumps({"job_id": "a", "video_url": VIDEO_URL, **values}).encode()


NESTED = b'{"job_id":"ended","result":' + b'{"x":' * 1000 + b"1" + b"}" * 1001
WRONG_TYPES = {"list": [], "object": {}, "bool": True, "float": 1.5, "null": None}
BODIES = [
    pytest.param(b"", {422}, id="case_1_empty"),
    pytest.param(b"{", {400}, id="case_2_open_brace"),
    *(pytest.param(body, {422}, id=f"case_3_{body.decode()}") for body in (b'"text"', b"1", b"[]", b"null")),
    pytest.param(b"[" * 100_000 + b"]" * 100_000, {400, 413}, id="case_4_nested_arrays"),
    pytest.param(NESTED, {400, 422}, id="case_5_nested_objects"),
    pytest.param(b'{"job_id":NaN}', {422}, id="case_6_nan"),
    pytest.param(b'{"job_id":[Infinity,-Infinity]}', {422}, id="case_7_infinity"),
    pytest.param(b'{"job_id":1e400}', {422}, id="case_8_overflow"),
    pytest.param(b'{"job_id":"ended","result":{"x":[NaN]}}', {422}, id="case_9_nan_in_a_result"),
    pytest.param(rb'{"job_id":"\ud800"}', {422}, id="case_10_lone_surrogate_in_a_refused_field"),
    pytest.param(rb'{"job_id":"ended","result":{"text":"\udfff"}}', {422}, id="case_11_lone_surrogate_in_a_kept_field"),
    pytest.param(b'{"job_id":' + b"9" * 5000 + b"}", {422}, id="case_12_integer_of_many_digits"),
    pytest.param(b'{"job_id":"\xff\xfe"}', {400}, id="case_13_no_utf8"),
    pytest.param('{"job_id":"a"}'.encode("utf-16"), {415}, id="case_14_utf16"),
    pytest.param(b'\xef\xbb\xbf{"job_id":"a"}', {400}, id="case_15_byte_order_mark"),
    pytest.param(b'{"job_id":"a","job_id":"b"}', {400}, id="case_16_duplicate_key"),
    pytest.param(fields(is_admin=True, status="completed", owner="me"), {422}, id="case_26_unknown_fields"),
    *(
        pytest.param(fields(job_id=value, filename=value, result=value and [value]), {422}, id=f"case_27_{name}")
        for name, value in WRONG_TYPES.items()
    ),
]


@pytest.mark.parametrize(("body", "statuses"), BODIES)
@pytest.mark.parametrize("path", POSTS)
def test_a_bad_body_is_refused(live: LiveApi, path: str, body: bytes, statuses: set[int]) -> None:
    made, kept = len(live.store.specs), len(live.uploads.objects)
    assert_problem(post(live, path, body), *statuses)
    assert (len(live.store.specs), len(live.uploads.objects)) == (made, kept)


@pytest.mark.parametrize("path", [*(f"{BASE}/{path}" for path in POSTS), AUDIO])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param((b" " * MIB,) * 50, id="case_17_50_megabytes"),
        pytest.param((b"100000\r\n" + b" " * MIB + b"\r\n",) * 50, id="case_17_50_megabytes_in_chunks"),
    ],
)
def test_a_body_over_the_cap_is_not_read_to_its_end(live: LiveApi, path: str, body: tuple[bytes, ...]) -> None:
    is_chunked = body[0].startswith(b"1")
    length = CHUNKED if is_chunked else {"Content-Length": str(50 * MIB)}
    head = build_request("POST", path, JSON | length).replace(b"Content-Length: 0\r\n", b"")
    reply = exchange(live.port, head, *body)
    assert reply.status in ((413, 415) if path == AUDIO else (413,))
    assert reply.is_closed
    assert reply.sent_bytes < 50 * MIB


@pytest.mark.parametrize("path", [*(f"{BASE}/{path}" for path in POSTS), AUDIO])
def test_case_18_a_length_that_is_announced_and_too_large_is_refused_at_once(live: LiveApi, path: str) -> None:
    reply = exchange(live.port, build_request("POST", path, _kind(path) | {"Content-Length": "10000000000"}))
    assert reply.status == 413
    assert reply.is_closed


@pytest.mark.parametrize("path", [*(f"{BASE}/{path}" for path in POSTS), AUDIO])
def test_case_19_a_body_that_never_ends_is_given_up(live: LiveApi, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.3)
    monkeypatch.setattr(form, "Pace", partial(Pace, idle_seconds=0.3))
    begin = FORM_BEGIN if path == AUDIO else b'{"job_id":'
    head = build_request("POST", path, _kind(path) | CHUNKED).replace(b"Content-Length: 0\r\n", b"")
    reply = exchange(live.port, head, b"%x\r\n%s\r\n" % (len(begin), begin))
    assert reply.status == 408
    assert reply.is_closed


@pytest.mark.parametrize("path", [*(f"{BASE}/{path}" for path in POSTS), AUDIO])
def test_case_20_two_lengths_are_refused(live: LiveApi, path: str) -> None:
    asked = build_request("POST", path, _kind(path) | CHUNKED | {"Content-Length": "4"}, b"0\r\n\r\n")
    reply = exchange(live.port, asked)
    assert reply.status == 400
    assert reply.is_closed


SMUGGLED = [
    pytest.param(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"{}  ", id="case_20_lengths_that_differ"),
    pytest.param(b"Content-Length: -1\r\n", b"", id="case_20_negative_length"),
    pytest.param(b"Content-Length: 4e0\r\n", b"{}  ", id="case_20_length_that_is_no_number"),
    pytest.param(b"Content-Length: " + b"9" * 5000 + b"\r\n", b"", id="case_20_length_of_many_digits"),
    pytest.param(b"Transfer-Encoding: chunked\r\n", b"zz\r\n", id="case_20_chunk_without_size"),
    pytest.param(b"Transfer-Encoding: chunked\r\n", b"f" * 30 + b"\r\n", id="case_20_chunk_of_many_digits"),
    pytest.param(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n", id="case_20_unknown_encoding"),
    pytest.param(b"Host: other\r\nContent-Length: 2\r\n", b"{}", id="case_20_two_hosts"),
    pytest.param(b"Content-Length : 2\r\n", b"{}", id="case_20_space_before_the_colon"),
    pytest.param(b"X: a\r\n b\x00c\r\nContent-Length: 2\r\n", b"{}", id="case_20_nul_in_a_header"),
]


@pytest.mark.parametrize(("lines", "body"), SMUGGLED)
def test_a_request_that_proxies_read_differently_is_refused(live: LiveApi, lines: bytes, body: bytes) -> None:
    head = f"POST {BASE}/request-process HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\n".encode()
    reply = exchange(live.port, head + lines + b"\r\n" + body)
    assert 400 <= reply.status < 500
    assert reply.is_closed


PACKED = gzip.compress(b" " * 10 * MIB)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip", "GZIP", "x"])
def test_case_21_a_packed_body_is_never_unpacked(live: LiveApi, path: str, coding: str) -> None:
    assert_problem(post(live, path, PACKED, JSON | {"Content-Encoding": coding}), 415)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("kind", ["text/plain", "", "application/jsonp", "application/json; charset=latin-1"])
def test_case_22_json_under_another_name_is_refused(live: LiveApi, path: str, kind: str) -> None:
    assert_problem(post(live, path, fields(), {"Content-Type": kind} if kind else {}), 415)


MANY_PARTS = b"".join(b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n1\r\n' % n for n in range(10_000))


@pytest.mark.parametrize("path", [*(f"{BASE}/{path}" for path in POSTS), AUDIO])
def test_case_23_a_form_of_very_many_parts_is_refused(live: LiveApi, path: str) -> None:
    reply = exchange(live.port, build_request("POST", path, MULTIPART, MANY_PARTS + b"--x--\r\n"))
    assert reply.status in ((400, 413) if path == AUDIO else (415,))


@pytest.mark.parametrize("path", [f"{BASE}/jobs", "/health", "/v1/models"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"X": "a" * 100_000}, id="case_24_long_header"),
        pytest.param({f"X-{n}": "a" for n in range(2000)}, id="case_24_many_headers"),
        pytest.param({f"X-{n}": "a" * 500 for n in range(90)}, id="case_24_large_headers"),
    ],
)
def test_outsized_headers_are_refused(live: LiveApi, path: str, headers: dict[str, str]) -> None:
    reply = exchange(live.port, build_request("GET", path, headers))
    assert reply.status in (400, 431, REFUSED_BY_UVICORN)
    assert reply.is_closed


@pytest.mark.parametrize("path", ["/", f"{BASE}/jobs?next_token="])
def test_case_25_a_request_line_of_a_megabyte_is_refused(live: LiveApi, path: str) -> None:
    reply = exchange(live.port, build_request("GET", path + "a" * MIB))
    assert reply.status in (400, 414, REFUSED_BY_UVICORN)
    assert reply.is_closed


def _operations(live: LiveApi) -> Iterable[tuple[str, set[str]]]:
    for path, operations in live.app.openapi()["paths"].items():
        yield path.replace("{job_id}", "ended").replace("{output}", "txt"), {name.upper() for name in operations}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT"])
def test_case_30_a_method_that_a_path_does_not_take_is_refused(live: LiveApi, method: str) -> None:
    for path, taken in _operations(live):
        if method not in taken:
            reply = exchange(live.port, build_request(method, path))
            assert reply.status == 405, (method, path)
            assert set(reply.headers["allow"].split(", ")) - {"HEAD"} == taken, (method, path)


def test_case_30_a_method_that_nobody_knows_is_refused(live: LiveApi) -> None:
    assert_problem(exchange(live.port, build_request("BREW", f"{BASE}/jobs")), 400)


def test_case_30_no_tunnel_is_made(live: LiveApi) -> None:
    for target in ("169.254.169.254:80", "http://169.254.169.254/"):
        assert exchange(live.port, build_request("CONNECT", target)).status in (400, 404, 405)


@pytest.mark.parametrize("wanted", ["application/xml", "text/html;q=0", "nonsense", "*/*;q=x"])
def test_case_31_a_client_that_wants_something_else_gets_json(live: LiveApi, wanted: str) -> None:
    reply = exchange(live.port, build_request("GET", f"{BASE}/status/ended", {"Accept": wanted}))
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")


@pytest.mark.parametrize("target", [f"{BASE}/process-video", f"http://evil.example{BASE}/process-video"])
def test_case_32_forged_hosts_reach_no_url(live: LiveApi, target: str) -> None:
    names = ("X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Forwarded-Server")
    forged = {"Host": "evil.example", "Forwarded": "host=evil.example", **dict.fromkeys(names, "evil.example")}
    reply = exchange(live.port, build_request("POST", target, JSON | forged, fields(job_id="hosted")))
    assert reply.status in (202, 404)
    assert b"evil" not in reply.body
    assert "evil" not in str(reply.headers)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{FRONT}.evil.example", "https://FRONT.example"])
def test_case_33_an_origin_that_is_not_listed_gets_no_cors_header(live: LiveApi, origin: str) -> None:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for method, path in (("GET", "jobs"), ("OPTIONS", "process-video")):
        reply = exchange(live.port, build_request(method, f"{BASE}/{path}", asked))
        assert "access-control-allow-origin" not in reply.headers
        assert reply.status in (200, 400)
    listed = exchange(live.port, build_request("GET", f"{BASE}/jobs", {"Origin": FRONT}))
    assert listed.headers["access-control-allow-origin"] == FRONT


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_case_34_a_request_without_host_is_refused(live: LiveApi, version: str) -> None:
    assert exchange(live.port, f"GET {BASE}/jobs HTTP/{version}\r\n\r\n".encode()).status == 400


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 64,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(live: LiveApi, head: bytes) -> None:
    assert 400 <= exchange(live.port, head, is_ended=True).status < 500


PATHS = [
    pytest.param("ended%00", id="case_35_nul"),
    pytest.param("%00", id="case_35_only_nul"),
    pytest.param("%FF%FE", id="case_36_no_utf8"),
    pytest.param("..%2f..%2fsecret", id="case_37_dots"),
    pytest.param("../../../metrics", id="case_37_dots_that_are_not_resolved"),
    pytest.param("%2e%2e/%2e%2e/metrics", id="case_37_escaped_dots"),
    pytest.param("..%252f..%252fmetrics", id="case_37_twice_escaped_dots"),
    pytest.param("ended/", id="case_38_slash_at_the_end"),
    pytest.param("ended;a=b", id="case_38_parameters"),
    pytest.param("/ended", id="case_38_two_slashes"),
    pytest.param("ended%0d%0aX: 1", id="case_38_line_break"),
]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("path", ["status", "result", "jobs", "transcripts"])
def test_a_path_that_names_no_job_is_not_found(live: LiveApi, path: str, name: str) -> None:
    ending = {"jobs": "/events", "transcripts": ".txt"}.get(path, "")
    reply = exchange(live.port, build_request("GET", f"{BASE}/{path}/{name}{ending}".replace(" ", "%20")))
    assert_problem(reply, 404, 405, 422)
    assert "location" not in reply.headers


@pytest.mark.parametrize("target", ["//status//ended", f"//evil.example{BASE}/jobs/", f"{BASE}//jobs", f"/{BASE}/jobs"])
def test_case_38_no_redirect_to_another_host(live: LiveApi, target: str) -> None:
    reply = exchange(live.port, build_request("GET", target))
    assert_problem(reply, 404)
    assert "location" not in reply.headers


@pytest.mark.parametrize("path", [f"{BASE}/jobs", f"{BASE}/status/ended", "/health", "/v1/models"])
@pytest.mark.parametrize("key", ["a", "key-"])
def test_case_39_a_query_of_very_many_keys_is_refused(live: LiveApi, path: str, key: str) -> None:
    query = "&".join(f"{key}{n}=1" for n in range(10_000))
    assert exchange(live.port, build_request("GET", f"{path}?{query}")).status in (400, 414)


def test_the_server_is_well_after_all_that(live: LiveApi) -> None:
    assert exchange(live.port, build_request("GET", "/health")).status == 200
    assert exchange(live.port, build_request("GET", f"{BASE}/status/ended")).json["job_id"] == "ended"
