"""The callback: payload, signature, verification. Pure; used by worker, controller and api.

Signatures are Standard Webhooks 1.0.0: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, SecretStr

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
SECRET_PREFIX = "whsec_"  # noqa: S105  # a prefix, no secret
TOLERANCE = timedelta(minutes=5)
MAX_SIGNATURES = 10
MAX_ID_CHARS = 256

_SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")

FinalWord = Literal["completed", "failed", "cancelled"]


class SignatureError(Exception):
    """The headers do not prove that the body came from a holder of the secret."""


class TooManySignaturesError(SignatureError):
    """More signatures than a rotation of secrets needs: none of them was looked at."""


class SecretError(ValueError):
    """The signing secret is not whsec_ and base64 of 24 to 64 bytes."""


def build_completed(
    job_id: str, result: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The payload of a transcription that succeeded; `result` is Whisper's own JSON."""
    return _build(job_id, "completed", metadata) | {"result": result}


def build_ended(
    job_id: str,
    status: Literal["failed", "cancelled"],
    error: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The payload of one that failed or was cancelled; `error` is {code, message, retryable}."""
    return _build(job_id, status, metadata) | {"error": error}


def _build(job_id: str, status: FinalWord, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    payload: dict[str, Any] = {"job_id": job_id, "status": status}
    return payload | {"metadata": dict(metadata)} if metadata else payload


def render_payload(payload: Mapping[str, Any]) -> bytes:
    """Strict JSON in UTF-8; ValueError for NaN and Infinity."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def sign(secrets: Sequence[str], message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The three headers for a body, signed by each secret: two while they change. `now` is timezone-aware."""
    timestamp = str(int(now.timestamp()))
    signatures = [f"v1,{_digest(parse_secret(secret), message_id, timestamp, body)}" for secret in secrets]
    return {ID_HEADER: message_id, TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: " ".join(signatures)}


def verify(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """The message id, when any of the secrets signed the body less than five minutes ago; SignatureError otherwise.

    An id has no dot, so that what was signed can be cut in one way only. `headers` has lower-case names, as ASGI
    servers give them.
    """
    given = check_form(headers, now)
    message_id, timestamp = headers[ID_HEADER], headers[TIMESTAMP_HEADER]
    wanted = [_digest(parse_secret(secret), message_id, timestamp, body) for secret in secrets]
    if not any(hmac.compare_digest(w.encode(), g.encode()) for w in wanted for g in given):
        raise SignatureError("no signature matches")
    return message_id


def check_form(headers: Mapping[str, str], now: datetime) -> list[str]:
    """The signatures that a body may have, as far as the headers tell: whoever has no body yet can refuse it so."""
    message_id = headers.get(ID_HEADER, "")
    signatures = headers.get(SIGNATURE_HEADER, "").split(" ")
    if len(signatures) > MAX_SIGNATURES:
        raise TooManySignaturesError("too many signatures")
    if not message_id or len(message_id) > MAX_ID_CHARS or "." in message_id:
        raise SignatureError("no usable webhook-id")
    _check_age(headers.get(TIMESTAMP_HEADER, ""), now)
    given = [signature.removeprefix("v1,") for signature in signatures if _SIGNATURE.fullmatch(signature)]
    if not given:
        raise SignatureError("no signature matches the form of one")
    return given


def _check_age(timestamp: str, now: datetime) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 11):
        raise SignatureError("no usable webhook-timestamp")
    if abs(now - datetime.fromtimestamp(int(timestamp), UTC)) > TOLERANCE:
        raise SignatureError("webhook-timestamp is too far from now")


def parse_secret(secret: str) -> bytes:
    """The key of a whsec_ secret; SecretError when it is not one."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SecretError("the signing secret is not base64") from error
    if not 24 <= len(key) <= 64:
        raise SecretError("the signing secret must have 24 to 64 bytes")
    return key


def _checked(secret: SecretStr) -> SecretStr:
    parse_secret(secret.get_secret_value())
    return secret


SigningSecret = Annotated[SecretStr, AfterValidator(_checked)]
"""A whsec_ secret as a setting: checked when it is read, masked when it is shown."""


def reveal(*secrets: SecretStr | None) -> tuple[str, ...]:
    """The secrets that are set, plain: the present one first, then the one before it."""
    return tuple(secret.get_secret_value() for secret in secrets if secret is not None)


def _digest(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.digest(key, signed, sha256)).decode()
