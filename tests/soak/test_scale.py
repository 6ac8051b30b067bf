"""Ten thousand transcriptions on a hundred nodes that are none, on the real control plane."""

import asyncio

import pytest

from tests.soak import scale_report
from tests.soak.simulation import Plan, simulate

FULL = 10_000


@pytest.mark.soak
def test_all_end_and_none_is_made_twice_when_ten_thousand_wait_for_three_hundred_places(soak_size: int) -> None:
    nodes = max(10, soak_size // 100)
    plan = Plan(
        namespace="transcription-soak",
        count=soak_size,
        nodes=nodes,
        max_active=3 * nodes,
        work_seconds=(3.0, 9.0),
        patience_seconds=60 + soak_size * 0.25,
    )
    run = asyncio.run(simulate(plan))
    assert run.lost() == []
    assert run.sightings.twice() == []
    assert run.sightings.changed == []
    assert max(moment.at_work for moment in run.moments) <= plan.max_active
    scale_report.tell(run)
    if soak_size == FULL:
        scale_report.write(run)
