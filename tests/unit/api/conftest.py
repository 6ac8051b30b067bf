from collections.abc import Iterator
from dataclasses import replace

import pytest
from api_fakes import NOW, FakeStore, FakeUploads, some_settings
from fastapi.testclient import TestClient

from api.app import build_app


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def uploads() -> FakeUploads:
    return FakeUploads()


@pytest.fixture(scope="session")
def shared_client() -> Iterator[TestClient]:
    """One app for all tests, because building it takes longer than most of them."""
    app = build_app(some_settings(), FakeStore(), FakeUploads(), lambda: NOW)
    with TestClient(app, raise_server_exceptions=False, base_url="http://api") as client:
        yield client


@pytest.fixture
def client(shared_client: TestClient, store: FakeStore, uploads: FakeUploads) -> TestClient:
    """The shared app over this test's own doors."""
    state = shared_client.app.state  # type: ignore[attr-defined]
    state.parts = replace(state.parts, store=store, uploads=uploads)
    return shared_client
