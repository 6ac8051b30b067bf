"""What callers do to a job over REST is done: retried, delivered again, deleted, waited for."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise

from crds.transcriptionjob import CallbackState
from tests.support.receiver import Receiver
from tests.support.speech import Speech
from tests.support.transcriptions import TJ, Transcriptions, an_id
from tests.support.waiting import wait_for
from tests.support.words import assert_same_words

WithoutController = Callable[[], AbstractContextManager[None]]


def test_a_retried_job_completes_when_what_was_missing_is_there(
    transcriptions: Transcriptions, clip: Speech, without_controller: WithoutController
) -> None:
    service, name = transcriptions.service, an_id("again")
    ticket = service.upload(clip.mp4)
    media = transcriptions.bucket.read(ticket["fileKey"])
    with without_controller():
        service.process_video(name, ticket["video_url"])
        transcriptions.bucket.delete(ticket["fileKey"])
    failed = service.wait_until_final(name, 120)[-1]
    assert (failed["status"], failed["attempt"]) == ("failed", 1)
    transcriptions.bucket.put(ticket["fileKey"], media)
    retried = service.ask("POST", f"/jobs/{name}/retry")
    assert (retried["status"], retried["progress"]) == ("processing", 0)
    assert "error" not in retried
    done = service.wait_until_final(name, 120)[-1]
    assert (done["status"], done["attempt"]) == ("completed", 2)
    assert_same_words(clip.text, service.result(name)["text"])
    assert service.call("POST", f"/jobs/{name}/retry").status_code == 409


def test_the_callback_comes_again_when_that_is_asked(transcriptions: Transcriptions, host_address: str) -> None:
    service, name = transcriptions.service, an_id("encore")
    with Receiver(host_address) as receiver:
        receiver.open()
        transcriptions.create(name, transcriptions.store(b"no video\n" * 50, "a.mp4"), callback={"url": receiver.url})
        first = receiver.next(90)
        transcriptions.kubectl.wait(f"{TJ}/{name}", "jsonpath={.status.settled}=true", 60)
        service.ask("POST", f"/jobs/{name}/callback/redeliver")
        again = receiver.next(60)
        transcriptions.kubectl.wait(f"{TJ}/{name}", "jsonpath={.status.redeliveries}=1", 60)
    assert json.loads(again.body) == json.loads(first.body)
    assert again.headers["webhook-id"] == first.headers["webhook-id"]
    record = transcriptions.read(name).status.callback
    assert record is not None
    assert record.state is CallbackState.DELIVERED


def test_a_deleted_job_is_gone_with_its_job_its_pods_and_its_files(
    transcriptions: Transcriptions, clip: Speech
) -> None:
    service, kubectl, name = transcriptions.service, transcriptions.kubectl, an_id("gone")
    transcriptions.start(name, clip.mp4)
    assert service.call("DELETE", f"/jobs/{name}").status_code == 409
    service.wait_until_final(name, 90)
    kubectl.wait(f"{TJ}/{name}", "jsonpath={.status.settled}=true", 60)
    folders = [f"{kind}/{kubectl.namespace}/{name}/" for kind in ("transcripts", "callbacks")]
    assert all(transcriptions.bucket.list(folder) for folder in folders)
    answer = service.call("DELETE", f"/jobs/{name}?outputs=true")
    assert (answer.status_code, answer.content) == (204, b"")
    assert service.call("GET", f"/status/{name}").status_code == 404
    assert not any(transcriptions.bucket.list(folder) for folder in folders)
    wait_for(lambda: transcriptions.job(name) is None and not transcriptions.pods(name), 60, "Job and pods are gone")
    assert kubectl.get(TJ, name) is None


def test_a_file_survives_when_only_the_job_is_deleted(transcriptions: Transcriptions, clip: Speech) -> None:
    service, name = transcriptions.service, an_id("kept")
    transcriptions.start(name, clip.mp4)
    service.wait_until_final(name, 90)
    assert service.call("DELETE", f"/jobs/{name}").status_code == 204
    assert transcriptions.bucket.list(f"transcripts/{transcriptions.kubectl.namespace}/{name}/")


def test_long_polls_end_with_each_change(transcriptions: Transcriptions, clip: Speech) -> None:
    service, name = transcriptions.service, an_id("watched")
    transcriptions.start(name, clip.mp4)
    seen = [service.status(name)]
    while seen[-1]["status"] == "processing":
        seen.append(service.ask("GET", f"/status/{name}?wait=25"))
        assert len(seen) < 200
    assert seen[-1]["status"] == "completed"
    assert all(before != after for before, after in pairwise(seen))
