"""Status patches: what is sent, and that losing them harms nothing."""

from pathlib import Path

import httpx2
import pytest

from crds.transcriptionjob import CallbackRecord, CallbackState, Progress, Stage, Status
from tests.support.worker_fakes import FakeApiServer, a_result, a_target
from worker.report import PAUSES_SECONDS, Cluster, Reporter, find_cluster

FIRST = Progress(pod_uid="pod-1", attempt=1, stage=Stage.STARTING)
HALF = Progress(pod_uid="pod-1", attempt=1, stage=Stage.TRANSCRIBING, percent=50, processed_seconds=5, total_seconds=10)
PENDING = CallbackRecord(state=CallbackState.PENDING, id="msg_u1_1")


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("first\n")
    return tmp_path


@pytest.fixture
def pauses() -> list[float]:
    return []


def a_reporter(server: FakeApiServer, account: Path, pauses: list[float], attempt: int = 1) -> Reporter:
    return Reporter(server.client(), a_target(attempt), account, pauses.append)


def test_a_report_is_a_merge_patch_of_the_own_status(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer()
    a_reporter(server, account, pauses).open(FIRST)
    request = server.requests[0]
    assert request.method == "PATCH"
    assert request.url.path == "/apis/transcription.ecg.dev/v1alpha1/namespaces/ns/transcriptionjobs/talk/status"
    assert request.headers["content-type"] == "application/merge-patch+json"
    assert server.patches[0].keys() == {"progress"}
    assert server.patches[0]["progress"].keys() == {"podUID", "attempt", "stage", "lastUpdateTime"}


def test_a_heartbeat_is_a_stage_without_a_percent(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer({"progress": {"podUID": "pod-1", "attempt": 1, "percent": 50}})
    a_reporter(server, account, pauses).beat(lambda: FIRST)
    assert server.patches[0]["progress"].keys() == {"podUID", "attempt", "stage", "lastUpdateTime"}
    assert server.status["progress"]["percent"] == 50


@pytest.mark.parametrize("refusal", [403, 500])
def test_a_heartbeat_is_dropped_when_it_is_not_taken(refusal: int, account: Path, pauses: list[float]) -> None:
    server = FakeApiServer(refusals=(refusal,))
    a_reporter(server, account, pauses).beat(lambda: FIRST)
    assert len(server.requests) == 1
    assert pauses == []


def test_the_token_is_read_each_time(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer()
    reporter = a_reporter(server, account, pauses)
    reporter.open(FIRST)
    (account / "token").write_text("second\n")
    reporter.report(HALF)
    assert [r.headers["authorization"] for r in server.requests] == ["Bearer first", "Bearer second"]


def test_the_stored_percent_is_found_when_a_pod_is_replaced(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer({"progress": {"podUID": "pod-0", "attempt": 1, "percent": 40}})
    status = a_reporter(server, account, pauses).open(FIRST)
    assert status.progress is not None
    assert status.progress.percent == 40


def test_an_earlier_attempts_percent_is_cleared_when_a_new_one_begins(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer({"progress": {"podUID": "pod-0", "attempt": 1, "percent": 40, "etaSeconds": 9}})
    a_reporter(server, account, pauses, attempt=2).open(Progress(pod_uid="pod-1", attempt=2, stage=Stage.STARTING))
    assert server.status["progress"]["percent"] == 0
    assert "etaSeconds" not in server.status["progress"]


def test_the_stored_percent_is_kept_when_a_pod_of_a_later_attempt_is_replaced(
    account: Path, pauses: list[float]
) -> None:
    server = FakeApiServer({"progress": {"podUID": "pod-0", "attempt": 2, "percent": 40}})
    status = a_reporter(server, account, pauses, attempt=2).open(
        Progress(pod_uid="pod-1", attempt=2, stage=Stage.STARTING)
    )
    assert status.progress is not None
    assert status.progress.percent == 40


@pytest.mark.parametrize("code", [403, 404, 409, 422, 429, 500, 503])
def test_progress_is_dropped_when_it_is_not_taken(code: int, account: Path, pauses: list[float]) -> None:
    server = FakeApiServer(refusals=(code,))
    assert a_reporter(server, account, pauses).report(HALF) is None
    assert pauses == []


def test_the_run_begins_when_nothing_of_it_can_be_stored(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer(refusals=(503,) * 99)
    assert a_reporter(server, account, pauses).open(FIRST) == Status()
    assert pauses == list(PAUSES_SECONDS)


def test_a_stored_result_is_found_when_the_first_answers_are_lost(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer({"result": a_result().to_manifest()}, refusals=(500, 503))
    assert a_reporter(server, account, pauses).open(FIRST).result == a_result()


def test_a_look_is_not_refused_when_another_pod_came_further(account: Path, pauses: list[float]) -> None:
    done = {"podUID": "pod-0", "attempt": 1, "percent": 100}
    server = FakeApiServer({"progress": done, "result": a_result().to_manifest()})
    assert a_reporter(server, account, pauses).look(FIRST).result == a_result()
    assert server.status["progress"]["percent"] == 100


def test_progress_is_dropped_when_nobody_answers(account: Path, pauses: list[float]) -> None:
    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    client = httpx2.Client(base_url="https://cluster", transport=httpx2.MockTransport(fail))
    assert Reporter(client, a_target(), account, pauses.append).open(FIRST) == Status()


def test_no_percent_is_sent_until_the_stored_one_is_known(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer({"progress": {"podUID": "pod-0", "attempt": 1, "percent": 70}}, refusals=(422,))
    reporter = a_reporter(server, account, pauses)
    reporter.open(FIRST)
    answer = reporter.report(HALF)
    assert answer is not None
    assert answer.progress is not None
    assert answer.progress.percent == 70
    reporter.report(HALF.model_copy(update={"percent": 75}))
    assert server.status["progress"]["percent"] == 75


def test_an_answer_is_not_trusted_when_the_transcription_was_made_anew(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer({"result": a_result().to_manifest()})
    server.uid = "u2"
    assert a_reporter(server, account, pauses).open(FIRST) == Status()


def test_the_result_goes_with_100_percent_and_the_callback_in_one_patch(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer()
    done = Progress(pod_uid="pod-1", attempt=1, stage=Stage.DELIVERING, percent=100)
    assert a_reporter(server, account, pauses).report_result(done, a_result(), PENDING)
    assert len(server.patches) == 1
    assert server.patches[0]["progress"]["percent"] == 100
    assert server.patches[0]["result"]["key"] == "transcripts/t.json"
    assert server.patches[0]["callback"] == {"state": "Pending", "id": "msg_u1_1", "attempts": 0}


def test_there_is_no_callback_row_when_nobody_is_told(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer()
    a_reporter(server, account, pauses).report_result(HALF, a_result(), None)
    assert "callback" not in server.patches[0]


def test_the_result_is_sent_again_when_it_was_lost(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer(refusals=(500, 409))
    assert a_reporter(server, account, pauses).report_result(HALF, a_result(), PENDING)
    assert pauses == list(PAUSES_SECONDS[:2])


def test_the_result_is_given_up_when_it_is_lost_again_and_again(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer(refusals=(500,) * 99)
    assert not a_reporter(server, account, pauses).report_result(HALF, a_result(), PENDING)
    assert pauses == list(PAUSES_SECONDS)


def test_the_result_is_given_up_at_once_when_it_is_refused(account: Path, pauses: list[float]) -> None:
    server = FakeApiServer(refusals=(422,))
    assert not a_reporter(server, account, pauses).report_result(HALF, a_result(), PENDING)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("host", "url"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_the_cluster_is_found_by_what_kubernetes_sets(host: str, url: str) -> None:
    found = find_cluster({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443"})
    assert found == Cluster(url)
