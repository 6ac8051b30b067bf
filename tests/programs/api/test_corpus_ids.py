"""Bad job ids, in bodies and in paths: cases 77 to 90 of the input corpus."""

from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from api.errors import JOB_NOT_FOUND_MESSAGE
from tests.support.api_fakes import VIDEO_URL, Caller, FakeStore, a_row

BASE = "/api/upload-video"

IMPOSSIBLE = [
    *(pytest.param(id_, id="case_77_other_characters") for id_ in ("A", "Job_1", "a.b/..", " a", "a ")),
    pytest.param("a\n", id="case_78_newline_at_the_end"),
    *(pytest.param("a" * n, id=f"case_79_{n}_characters") for n in (53, 64, 1000)),
    *(pytest.param(id_, id="case_80_hyphens") for id_ in ("-a", "a-", "--")),
    pytest.param("", id="case_80_empty"),
    *(pytest.param(id_, id="case_81_label_selector") for id_ in ("a,b=c", "a in (b)", "!a")),
    *(pytest.param(id_, id="case_82_parts_of_a_url") for id_ in ("a?x=1", "a%2fstatus", "a#")),
    pytest.param("../../namespaces/kube-system/secrets/x", id="case_83_other_api_path"),
    *(pytest.param(id_, id="case_84_other_scripts") for id_ in ("\u0661\u0662", "\u0430bc", "\uff11\uff12", "\uff41")),
    pytest.param("8E3C1F0A-52C4-4B3E-9A57-0D6F2B9C7E11", id="case_85_upper_case"),
    pytest.param("{8e3c1f0a-52c4-4b3e-9a57-0d6f2b9c7e11}", id="case_85_braces"),
    pytest.param("urn:uuid:8e3c1f0a-52c4-4b3e-9a57-0d6f2b9c7e11", id="case_85_urn"),
    *(pytest.param(id_, id="case_89_template") for id_ in ("{{7*7}}", "%s", "${jndi:ldap://x}")),
    *(pytest.param(id_, id="case_90_query_language") for id_ in ("a' OR '1'='1", "$.items[*]", "self.name == 'a'")),
]


@pytest.mark.parametrize("job_id", IMPOSSIBLE)
def test_an_impossible_id_is_refused(client: Caller, store: FakeStore, job_id: str) -> None:
    answer = client.post(f"{BASE}/process-video", json={"job_id": job_id, "video_url": VIDEO_URL})
    assert answer.status_code == 422
    assert len(job_id) < 4 or job_id not in answer.text
    assert store.specs == {}


@pytest.mark.parametrize("job_id", IMPOSSIBLE)
def test_an_impossible_id_names_nothing(client: Caller, store: FakeStore, job_id: str) -> None:
    store.rows.see(a_row("a", status={"state": "Succeeded"}))
    asked: list[tuple[str, str]] = [
        ("GET", "/status/{}"),
        ("GET", "/jobs/{}/events"),
        ("GET", "/result/{}"),
        ("GET", "/transcripts/{}.txt"),
        ("POST", "/jobs/{}/cancel"),
        ("POST", "/jobs/{}/retry"),
        ("POST", "/jobs/{}/callback/redeliver"),
        ("DELETE", "/jobs/{}"),
    ]
    for method, path in asked:
        answer = client.request(method, BASE + path.format(quote(job_id, safe="")), follow_redirects=False)
        assert answer.status_code in (404, 405)
        assert answer.json()["code"] in ("job_not_found", "not_found", "method_not_allowed")
    told = client.post(f"{BASE}/result", json={"job_id": job_id, "result": {}})
    assert (told.status_code, told.json()["message"]) == (404, JOB_NOT_FOUND_MESSAGE)
    assert store.rows.get("a") is not None


def test_case_86_an_id_that_is_being_deleted_is_not_revived(client: Caller, store: FakeStore) -> None:
    store.rows.see(replace(a_row("a"), is_deleting=True))
    assert client.get(f"{BASE}/status/a").status_code == 404
    answer = client.post(f"{BASE}/process-video", json={"job_id": "a", "video_url": VIDEO_URL})
    assert (answer.status_code, answer.json()["code"]) == (409, "job_conflict")
    for act in ("cancel", "retry", "callback/redeliver"):
        assert client.post(f"{BASE}/jobs/a/{act}").status_code == 404
    assert client.request("DELETE", f"{BASE}/jobs/a").status_code == 404
    assert store.specs == {}


def test_case_87_a_prefix_of_an_id_names_nothing(client: Caller, store: FakeStore) -> None:
    store.rows.see(a_row("a-b"))
    assert client.get(f"{BASE}/status/a").status_code == 404
    assert client.get(f"{BASE}/status/a-b").status_code == 200
    assert client.post(f"{BASE}/jobs/a/cancel").status_code == 404


@pytest.mark.parametrize(
    "job_id", ["1", "0", "true", "null", "1e3", "0x10", "123456", "8e3c1f0a-52c4-4b3e-9a57-0d6f2b9c7e11"]
)
def test_case_88_an_id_that_looks_like_something_else_stays_text(client: Caller, job_id: str) -> None:
    answer = client.post(f"{BASE}/process-video", json={"job_id": job_id, "video_url": VIDEO_URL})
    assert answer.status_code == 202
    assert client.get(f"{BASE}/status/{job_id}").json()["job_id"] == job_id


@pytest.mark.parametrize("job_id", [1, 0, True, None, 1e3])
def test_case_88_what_is_no_text_is_no_id(client: Caller, store: FakeStore, job_id: Any) -> None:
    answer = client.post(f"{BASE}/process-video", json={"job_id": job_id, "video_url": VIDEO_URL})
    assert answer.status_code == 422
    assert store.specs == {}
