"""Callback signatures are those of Standard Webhooks."""

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from crds.callback import (
    SecretError,
    SignatureError,
    TooManySignaturesError,
    build_completed,
    build_ended,
    render_payload,
    sign,
    verify,
)

SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
OTHER = "whsec_" + "YWJjZGVmZ2hpamFiY2RlZmdoaWphYmNkZWZnaGlqYWI="
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = render_payload(build_completed("talk", {"text": "안녕", "segments": [], "language": "ko"}, {"order": "7"}))


def test_the_reference_library_accepts_what_we_sign() -> None:
    headers = sign([SECRET], "msg_1", datetime.now(UTC), BODY)
    assert Webhook(SECRET).verify(BODY, headers)["result"]["text"] == "안녕"


def test_we_accept_what_the_reference_library_signs() -> None:
    signature = Webhook(SECRET).sign("msg_1", NOW, BODY.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(NOW.timestamp())), "webhook-signature": signature}
    assert verify([OTHER, SECRET], headers, BODY, NOW) == "msg_1"


def test_one_good_signature_among_others_is_enough() -> None:
    headers = sign([SECRET], "msg_1", NOW, BODY)
    headers["webhook-signature"] = f"v1,bm9wZQ== {headers['webhook-signature']} v1a,x"
    assert verify([SECRET], headers, BODY, NOW) == "msg_1"


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-id": "x" * 257},
        {"webhook-id": "msg.1"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-5"},
        {"webhook-timestamp": "1" * 400},
        {"webhook-timestamp": "99999999999"},
        {"webhook-timestamp": "999999999999"},
        {"webhook-timestamp": "1767323046"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v2,abc"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": " ".join(["v1,abc"] * 1000)},
    ],
)
def test_it_is_refused_when_a_header_is_wrong(change: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        verify([SECRET], sign([SECRET], "msg_1", NOW, BODY) | change, BODY, NOW)


@pytest.mark.parametrize("message_id", ["msg.1", ".", "msg_1.1767323045", "x" * 257, "x" * 10_000])
def test_case_125_an_id_with_a_dot_or_too_long_is_refused_though_it_is_signed(message_id: str) -> None:
    with pytest.raises(SignatureError, match="webhook-id"):
        verify([SECRET], sign([SECRET], message_id, NOW, BODY), BODY, NOW)


@pytest.mark.parametrize("signature", ["v1,abc", "v1a,abc", ""])
def test_case_126_too_many_signatures_are_refused_though_one_is_good(signature: str) -> None:
    headers = sign([SECRET], "msg_1", NOW, BODY)
    good = headers["webhook-signature"]
    assert verify([SECRET], headers | {"webhook-signature": " ".join([signature] * 9 + [good])}, BODY, NOW) == "msg_1"
    with pytest.raises(TooManySignaturesError):
        verify([SECRET], headers | {"webhook-signature": " ".join([good] + [signature] * 10)}, BODY, NOW)


def test_case_127_a_signature_in_another_case_or_padding_is_refused() -> None:
    headers = sign([SECRET], "msg_1", NOW, BODY)
    good = headers["webhook-signature"]
    for other in (good.swapcase().replace("V1,", "v1,"), good.rstrip("="), good + "=", good.replace("v1,", "v1, ")):
        with pytest.raises(SignatureError, match="no signature matches"):
            verify([SECRET], headers | {"webhook-signature": other}, BODY, NOW)


@pytest.mark.parametrize("age", [timedelta(minutes=5, seconds=1), -timedelta(minutes=5, seconds=1)])
def test_it_is_refused_when_too_old_or_from_the_future(age: timedelta) -> None:
    with pytest.raises(SignatureError, match="too far"):
        verify([SECRET], sign([SECRET], "msg_1", NOW - age, BODY), BODY, NOW)


def test_it_is_refused_when_the_body_is_written_anew() -> None:
    with pytest.raises(SignatureError, match="no signature matches"):
        verify([SECRET], sign([SECRET], "msg_1", NOW, BODY), BODY.replace(b",", b", "), NOW)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_c2hvcnQ=", "not base64!", "whsec_" + "QUFB" * 40])
def test_a_secret_is_refused_when_it_is_none(secret: str) -> None:
    with pytest.raises(SecretError):
        sign([secret], "msg_1", NOW, BODY)


def test_a_failed_one_tells_its_error() -> None:
    error = {"code": "NoAudio", "message": "The file has no audio track.", "retryable": False}
    assert build_ended("talk", "failed", error) == {"job_id": "talk", "status": "failed", "error": error}


def test_a_payload_is_never_rendered_as_loose_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        render_payload({"result": {"text": float("nan")}})
