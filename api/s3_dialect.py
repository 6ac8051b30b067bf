"""How S3 puts things: what its errors mean, and what its servers want to be told. Called by uploads."""

import base64
import hashlib
from typing import Any

MAY_NOT_LIST = "AccessDenied"
"""The keys are good and the bucket is there; an account may do all else without that right."""

KEYS, REGION, ENDPOINT = "the keys in api.s3Secret", "s3.region", "s3.endpoint, and the NetworkPolicies on the way"
VALUES = {
    "NoSuchBucket": "s3.bucket; if that exists, s3.pathStyle",
    "InvalidAccessKeyId": KEYS,
    "SignatureDoesNotMatch": KEYS,
    "NoCredentialsError": KEYS,
    "PartialCredentialsError": KEYS,
    "AuthorizationHeaderMalformed": REGION,
    "IllegalLocationConstraintException": REGION,
    "PermanentRedirect": REGION,
    "301": REGION,
    "SSLError": "s3.caBundle and s3.endpoint",
    "EndpointConnectionError": ENDPOINT,
    "ConnectTimeoutError": ENDPOINT,
    "TimeoutError": f"{ENDPOINT}; and {KEYS}",
}
"""What S3 answers, or what botocore raises: the values of the chart that it is about."""


def status_of(error: Any) -> int:
    """Of an error of botocore's: the HTTP status, 0 when there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: Any) -> str:
    """Of the same: S3's word, such as NoSuchBucket or InvalidAccessKeyId."""
    return str(error.response.get("Error", {}).get("Code", status_of(error)))


def values_about(word: str) -> str:
    """Where to look, by one of those words; a bare number has no S3 behind it that says more."""
    return VALUES.get(word, f"{ENDPOINT}: no S3 answers there" if word.isdigit() else "the s3 values")


def outcome_of(status: int) -> str:
    """What was asked for may be there already, or not reach so far: that is an answer as good as any."""
    known = {404: "not_found", 409: "ok", 412: "ok", 416: "ok", 429: "unavailable"}
    return known.get(status) or ("refused" if 400 <= status < 500 else "unavailable")


def add_content_md5(request: Any, **_: Any) -> None:
    """Many S3 servers other than AWS know no newer checksum, and take no batch of deletions without one."""
    digest = hashlib.md5(request.body, usedforsecurity=False).digest()
    request.headers["Content-MD5"] = base64.b64encode(digest).decode()
