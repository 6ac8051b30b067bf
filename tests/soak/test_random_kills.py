"""The controller is killed at random moments while hundreds of transcriptions run."""

import asyncio

import pytest

from tests.soak.simulation import Plan, simulate


@pytest.mark.soak
def test_nothing_is_lost_and_nothing_made_twice_when_the_controller_is_killed_at_random(soak_size: int) -> None:
    count = min(300, soak_size)
    plan = Plan(
        namespace="transcription-soak-kills",
        count=count,
        nodes=10,
        max_active=30,
        work_seconds=(1.0, 8.0),
        patience_seconds=900,
        kill_every_seconds=4.0,
    )
    run = asyncio.run(simulate(plan))
    assert run.kills >= count / 30, "it was over before the controller was killed often enough"
    assert run.lost() == []
    assert run.sightings.twice() == []
    assert run.sightings.changed == []
    assert run.pods == count
