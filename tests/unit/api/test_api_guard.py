"""Answers that no handler gives: they are problems as well, and browsers may read them."""

import pytest

from tests.support.api_fakes import VIDEO_URL, Caller, FakeStore

BASE = "/api/upload-video"
ORIGIN = {"origin": "https://front.example"}


def test_an_unknown_failure_is_a_problem_that_browsers_may_read(
    client: Caller, store: FakeStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: str) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(store, "get", fail)
    answer = client.get(f"{BASE}/status/a", headers=ORIGIN)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "secret" not in answer.text
    assert [record.message for record in caplog.records if record.exc_info] == ["unknown error"]


@pytest.mark.parametrize(
    ("status", "path", "headers"),
    [(431, "/jobs", {"x": "a" * 100_000}), (414, "/jobs?" + "a" * 20_000, {}), (404, "/status/nobody", {})],
)
def test_refusals_may_be_read_by_browsers(client: Caller, status: int, path: str, headers: dict[str, str]) -> None:
    answer = client.get(BASE + path, headers=ORIGIN | headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")


def test_a_browser_may_ask_first_whether_it_may_post(client: Caller) -> None:
    asked = ORIGIN | {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert client.request("OPTIONS", f"{BASE}/request-process", headers=asked).status_code == 200
    assert client.post(f"{BASE}/request-process", json={"video_url": VIDEO_URL}, headers=ORIGIN).status_code == 202
