import asyncio

from controller.errors import StaleError
from controller.views import JobView
from crds.transcriptionjob import State
from tests.support.controller_fakes import RESULT, Clock, a_transcription
from tests.support.controller_operator import FakeCluster, Operator


class ForgetfulCluster(FakeCluster):
    """It deletes Jobs only as they are now."""

    async def delete_job(self, job: JobView) -> None:
        if self.jobs[job.name].resource_version != job.resource_version:
            raise StaleError(job.name)
        await super().delete_job(job)


def test_job_that_has_ended_meanwhile_is_kept_when_a_stale_copy_would_be_deleted() -> None:
    cluster, clock = ForgetfulCluster(a_transcription()), Clock()

    async def scene() -> None:
        operator = Operator(cluster, clock)
        await operator.settle_down()
        cluster.change_job("clip-1", ended="Complete")
        cluster.change_status("clip", result=RESULT)
        cluster.change_spec("clip", cancel=True)
        operator.show_transcriptions()
        await operator.work()
        clock.advance(1)
        await operator.work()

    asyncio.run(scene())
    assert cluster.transcriptions["clip"].status.state is State.SUCCEEDED
    assert "delete" not in cluster.writes
    assert list(cluster.jobs) == ["clip-1"]
