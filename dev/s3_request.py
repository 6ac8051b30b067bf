"""Signed requests to the S3 server (AWS Signature Version 4), since boto3 is not there yet. Used by storage."""

import base64
import hashlib
import hmac
import urllib.error
import urllib.request
from datetime import UTC, datetime

from dev import versions
from dev.keys import Account


class S3Error(Exception):
    """The S3 server refused a request."""


def send(account: Account, method: str, path: str, query: str = "", body: bytes = b"") -> bytes:
    """Send one request and return the answer's body; `query` is a bare name such as `cors`."""
    url = f"{versions.S3_ENDPOINT}{path}" + (f"?{query}" if query else "")
    request = urllib.request.Request(url, data=body or None, method=method)  # noqa: S310 -- the address is fixed, and http
    for name, value in sign(account, method, path, query, body, datetime.now(UTC)).items():
        request.add_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 -- the same
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise S3Error(f"{method} {path}?{query}: {error.code} {error.read().decode(errors='replace')}") from error


def sign(account: Account, method: str, path: str, query: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers that prove who sends a request."""
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {
        "content-md5": base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
        "host": versions.S3_ENDPOINT.split("//")[1],
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": stamp,
    }
    names = ";".join(headers)
    lines = [f"{name}:{value}" for name, value in headers.items()]
    asked = "\n".join([method, path, f"{query}=" if query else "", *lines, "", names, headers["x-amz-content-sha256"]])
    scope = f"{day}/{versions.S3_REGION}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(asked.encode()).hexdigest()])
    key = f"AWS4{account.secret_key}".encode()
    for word in (day, versions.S3_REGION, "s3", "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={account.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}
