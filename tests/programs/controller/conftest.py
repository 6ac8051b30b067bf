import pytest

from controller import delivery


@pytest.fixture(autouse=True)
def without_jitter(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Times of next tries are those of the schedule, but in tests that are about jitter."""
    if "jitter" not in request.node.name:
        monkeypatch.setattr(delivery, "MOST_JITTER", 0.0)
