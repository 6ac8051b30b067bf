"""An OIDC issuer's keys and the tokens that it signs. Used by the tests of who may call."""

import base64
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

from tests.support.api_fakes import SECRET

ISSUER = "https://id.example.com"
AUDIENCE = "transcription"
OIDC: dict[str, Any] = {
    "auth_mode": "oidc",
    "oidc_issuer": ISSUER,
    "oidc_audience": AUDIENCE,
    "oidc_jwks_url": "https://id.example.com/keys",
    "oidc_algorithms": ("ES256",),
    "callback_secret": SECRET,
}


@cache
def a_key(_: str = "first") -> EllipticCurvePrivateKey:
    """One for each name, for the whole run."""
    return generate_private_key(SECP256R1())


def a_jwk(kid: str = "first", **changes: Any) -> dict[str, Any]:
    data = json.loads(ECAlgorithm.to_jwk(a_key(kid).public_key()))
    return {**data, "kid": kid, "use": "sig", **changes}


def a_key_set(*jwks: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": list(jwks or [a_jwk()])}).encode()


def some_claims(**changes: Any) -> dict[str, Any]:
    """Of a good token; None leaves a claim out."""
    now = datetime.now(UTC).timestamp()
    good = {"sub": "alice", "iss": ISSUER, "aud": AUDIENCE, "iat": now - 60, "exp": now + 600, "nbf": now - 60}
    return {name: value for name, value in (good | changes).items() if value is not None}


def a_token(claims: Mapping[str, Any] | None = None, key: str = "first", **header: Any) -> str:
    return jwt.encode(dict(claims or some_claims()), a_key(key), "ES256", headers={"kid": key, **header})


def a_forged_token(header: Mapping[str, Any], secret: bytes | None = None) -> str:
    """What PyJWT refuses to make; signed by HMAC where there is a secret."""
    parts = [_encode(json.dumps(part).encode()) for part in (header, some_claims())]
    mac = hmac.digest(secret, ".".join(parts).encode(), sha256) if secret else b""
    return ".".join([*parts, _encode(mac)])


def public_pem(key: str = "first") -> bytes:
    return a_key(key).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
