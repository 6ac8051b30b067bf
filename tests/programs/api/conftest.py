"""One app over each test's own fake doors, in this process; it counts no rates."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from api.app import build_app
from tests.support.api_fakes import NOW, Caller, FakeStore, FakeUploads, some_settings


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def uploads() -> FakeUploads:
    return FakeUploads()


@pytest.fixture(scope="session")
def shared_client() -> Iterator[Caller]:
    client = Caller(build_app(some_settings(rate_requests=0), FakeStore(), FakeUploads(), lambda: NOW))
    yield client
    client.close()


@pytest.fixture
def client(shared_client: Caller, store: FakeStore, uploads: FakeUploads) -> Caller:
    """The shared app over this test's own doors."""
    state = shared_client.app.state
    state.parts = replace(state.parts, store=store, uploads=uploads)
    return shared_client
