"""What the soak tests share."""

import pytest


@pytest.fixture
def soak_size(pytestconfig: pytest.Config) -> int:
    """How many transcriptions; fewer make a quick look of it, which is not written down."""
    return int(pytestconfig.getoption("--soak-size"))
