"""The callback arrives, signed, whatever the receiver was doing; checked with the reference library."""

import json

from standardwebhooks import Webhook

from crds.transcriptionjob import CallbackState, Transcription
from tests.support.receiver import Delivery, Receiver
from tests.support.service import Service
from tests.support.speech import Speech
from tests.support.transcriptions import TJ, Run, Transcriptions, an_id, is_transcribing
from tests.support.words import assert_same_words


def verified(delivery: Delivery, secret: str) -> dict[str, object]:
    """The payload, once the reference library has accepted its signature."""
    Webhook(secret).verify(delivery.body, delivery.headers)
    payload: dict[str, object] = json.loads(delivery.body)
    return payload


def wait_until_settled(transcriptions: Transcriptions, name: str) -> Transcription:
    transcriptions.kubectl.wait(f"{TJ}/{name}", "jsonpath={.status.settled}=true", 60)
    return transcriptions.read(name)


TRICKY = {"order": '$(AWS_SECRET_ACCESS_KEY) $$ "7"', "name": "$(WORKER_CALLBACK_SECRET)"}
"""Kubernetes would put a variable's value in such a place; the caller's strings come back as they were sent."""


def test_it_is_delivered_once_the_receiver_is_back(
    transcriptions: Transcriptions, clip: Speech, host_address: str, signing_secret: str
) -> None:
    name = an_id("callback")
    with Receiver(host_address) as receiver:
        transcriptions.start(name, clip.mp4, callback_url=receiver.url, metadata={"order": "7"})
        missed = transcriptions.wait_until_finished(name, 90).status.callback
        assert missed is not None
        assert missed.state is CallbackState.PENDING
        receiver.open()
        delivery = receiver.next(120)
        record = wait_until_settled(transcriptions, name).status.callback
        assert receiver.waiting == 0, "it came twice"
    payload = verified(delivery, signing_secret)
    assert payload.keys() == {"job_id", "status", "result", "metadata"}
    assert (payload["job_id"], payload["status"], payload["metadata"]) == (name, "completed", {"order": "7"})
    assert payload["result"] == transcriptions.service.result(name)
    assert_same_words(clip.text, transcriptions.service.result(name)["text"])
    assert record is not None
    assert record.state is CallbackState.DELIVERED
    assert record.attempts >= 2
    assert record.last_status_code == 204
    assert delivery.headers["webhook-id"] == missed.id == record.id


def test_it_is_sent_again_with_the_same_id_when_the_receiver_refuses(
    transcriptions: Transcriptions, clip: Speech, host_address: str, signing_secret: str
) -> None:
    name = an_id("refused")
    with Receiver(host_address, answers=[500, 503]) as receiver:
        receiver.open()
        transcriptions.start(name, clip.mp4, callback_url=receiver.url, metadata=TRICKY)
        tries = [receiver.next(120) for _ in range(3)]
        record = wait_until_settled(transcriptions, name).status.callback
    assert [delivery.answered for delivery in tries] == [500, 503, 204]
    assert len({delivery.headers["webhook-id"] for delivery in tries}) == 1
    payloads = [verified(delivery, signing_secret) for delivery in tries]
    assert payloads[0] == payloads[1] == payloads[2]
    assert payloads[0].keys() == {"job_id", "status", "result", "metadata"}
    assert payloads[0]["metadata"] == TRICKY
    assert record is not None
    assert (record.state, record.attempts) == (CallbackState.DELIVERED, 3)


def test_the_failure_is_told_when_the_video_is_bad(
    transcriptions: Transcriptions, host_address: str, signing_secret: str
) -> None:
    name = an_id("sorry")
    with Receiver(host_address) as receiver:
        receiver.open()
        transcriptions.create(name, transcriptions.store(b"no video\n" * 50, "a.mp4"), callback={"url": receiver.url})
        payload = verified(receiver.next(90), signing_secret)
        record = wait_until_settled(transcriptions, name).status.callback
    assert payload.keys() == {"job_id", "status", "error"}
    assert (payload["job_id"], payload["status"]) == (name, "failed")
    assert isinstance(payload["error"], dict)
    assert payload["error"]["code"] == "UnsupportedMedia"
    assert payload["error"]["retryable"] is False
    assert record is not None
    assert record.state is CallbackState.DELIVERED


def test_the_end_is_told_when_it_is_cancelled(
    transcriptions: Transcriptions, service: Service, lecture: Speech, host_address: str, signing_secret: str
) -> None:
    name = an_id("stopped")
    with Receiver(host_address) as receiver, transcriptions.watch(name) as watch:
        receiver.open()
        transcriptions.start(name, lecture.mp3, engine="quality", callback_url=receiver.url)
        watch.until(is_transcribing(0), 60, "it is transcribed")
        service.ask("POST", f"/jobs/{name}/cancel")
        payload = verified(receiver.next(60), signing_secret)
    assert payload.keys() == {"job_id", "status", "error"}
    assert (payload["job_id"], payload["status"]) == (name, "cancelled")


def test_the_api_keeps_what_it_received_when_no_other_receiver_is_named(good_run: Run, talk: Speech) -> None:
    made = good_run.transcriptions
    record = wait_until_settled(made, good_run.name).status.callback
    assert record is not None
    assert record.state is CallbackState.DELIVERED
    stored = json.loads(
        made.bucket.read(f"callbacks/{good_run.end.namespace}/{good_run.name}/{good_run.end.uid}/1.json")
    )
    assert (stored["job_id"], stored["status"]) == (good_run.name, "completed")
    assert_same_words(talk.text, stored["result"]["text"], tolerance=0.01)


def test_the_api_refuses_a_callback_when_it_is_not_signed(service: Service, good_run: Run) -> None:
    forged = {"job_id": good_run.name, "status": "completed", "result": {"text": "forged"}}
    wait_until_settled(good_run.transcriptions, good_run.name)
    assert service.call("POST", "/result", forged).status_code == 401
