"""The chart as Helm renders it, once for each set of values."""

import pytest
from chart_rendering import Chart, find_helm

from tests.support.chart_values import DEV_VALUES, FULL_VALUES, MATRIX


@pytest.fixture(scope="session")
def chart() -> Chart:
    return Chart(find_helm())


@pytest.fixture(scope="session", params=["no values", "dev values", "every value"])
def rendered(request: pytest.FixtureRequest, chart: Chart) -> list[dict[str, object]]:
    """All objects, with each of three sets of values."""
    files = {"no values": (), "dev values": (DEV_VALUES,), "every value": (FULL_VALUES,)}[request.param]
    return chart.render(*files)


@pytest.fixture(scope="session", params=MATRIX)
def drawn(request: pytest.FixtureRequest, chart: Chart) -> list[dict[str, object]]:
    """All objects, with each set of values that there is."""
    return chart.render(*MATRIX[request.param])


@pytest.fixture(scope="session")
def full(chart: Chart) -> list[dict[str, object]]:
    """All objects, with every optional value set."""
    return chart.render(FULL_VALUES)
