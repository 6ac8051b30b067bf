"""The image runs another Python than the tests: what it publishes is what the repository holds."""

import difflib

import httpx2 as httpx

from tests.cluster.conftest import API_URL
from tests.support.frozen_openapi import FILE, render_document


def test_the_deployed_api_publishes_the_document_in_the_repository() -> None:
    published = render_document(httpx.get(f"{API_URL}/openapi.json", timeout=30).json()).splitlines()
    frozen = FILE.read_text(encoding="utf-8").splitlines()
    lines = difflib.unified_diff(frozen, published, "docs/openapi.json", "the API", lineterm="")
    assert frozen == published, "\n".join(lines)
