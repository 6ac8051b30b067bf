import re
from pathlib import Path

import pytest

from api.app import build_app
from api.openapi.page import ASSETS
from tests.support.api_fakes import SECRET, Caller, FakeStore, FakeUploads, some_settings


def names_in(page: str) -> list[str]:
    """All that a page loads."""
    return re.findall(r'(?:src|href)="([^"]+)"', page)


def test_the_page_loads_nothing_from_elsewhere(client: Caller) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(names_in(page.text)) == 4
    for name in names_in(page.text):
        asset = client.get(f"/{name}")
        assert asset.status_code == 200
        assert asset.headers["content-type"].partition(";")[0] in ("text/javascript", "text/css", "image/png")
        assert len(asset.content) > 100


def test_the_page_shows_our_own_document(client: Caller) -> None:
    script = client.get("/docs/start.js").text
    assert re.findall(r'url: "([^"]+)"', script) == ["openapi.json"]
    assert client.get("/openapi.json").status_code == 200
    assert "//" not in script
    assert "//" not in client.get("/docs").text


@pytest.mark.parametrize("path", ["/docs", "/docs/start.js", *(f"/docs/{name}" for name in sorted(ASSETS))])
def test_the_page_may_reach_its_own_host_alone(client: Caller, path: str) -> None:
    policy = client.get(path).headers["content-security-policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {word for rule in policy for word in rule.split()[1:]} == {"'none'", "'self'", "'unsafe-inline'", "data:"}
    assert "script-src 'self'" in policy


def test_the_style_sheet_names_no_other_host(client: Caller) -> None:
    named = re.findall(r"url\(\"?([^)\"]{1,40})", client.get("/docs/swagger-ui.css").text)
    assert named
    assert all(name.startswith("data:") for name in named)


@pytest.mark.parametrize("name", ["redoc.standalone.js", "core.py", "..%2fcore.py", "%2e%2e/core.py", "../core.py"])
def test_no_other_file_of_the_package_is_served(client: Caller, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


def test_the_page_is_no_operation(client: Caller) -> None:
    assert [path for path in client.get("/openapi.json").json()["paths"] if path.startswith("/docs")] == []


def test_the_page_and_its_document_are_there_for_those_without_a_key(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"alice sha256:{'0' * 64}\n")
    settings = some_settings(auth_mode="api-key", keys_file=keys, callback_secret=SECRET)
    guarded = Caller(build_app(settings, FakeStore(), FakeUploads()))
    answers = {path: guarded.get(path).status_code for path in ("/docs", "/openapi.json", "/api/upload-video/jobs")}
    guarded.close()
    assert answers == {"/docs": 200, "/openapi.json": 200, "/api/upload-video/jobs": 401}
