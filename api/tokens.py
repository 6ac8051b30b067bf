"""Tokens of the OIDC issuer: from a JWT to its subject. Used by auth."""

from typing import TYPE_CHECKING

import jwt

from api.settings import ApiSettings

if TYPE_CHECKING:
    from jwt.types import Options

    from api.issuer import Issuer

LEEWAY_SECONDS = 30
MAX_CHARS = 16 * 1024
OPTIONS: "Options" = {"require": ["exp", "iat", "sub"], "enforce_minimum_key_length": True}


class TokenError(Exception):
    """The token opens nothing; the text says why, in words of ours alone."""


class Tokens:
    """Tokens for one audience. The key is found by its id alone: what else a token says of keys is not looked at."""

    def __init__(self, settings: ApiSettings, issuer: "Issuer") -> None:
        self._issuer_name = settings.oidc_issuer
        self._audience = settings.oidc_audience
        self._algorithms = settings.oidc_algorithms
        self._issuer = issuer

    async def read(self, token: str) -> str:
        """The subject; TokenError for a token that does not hold, UnavailableError when that cannot be known."""
        kid, algorithm = self._parse_header(token)
        key = await self._issuer.find(kid, algorithm)
        if key is None:
            raise TokenError("unknown key id")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer_name,
                leeway=LEEWAY_SECONDS,
                options=OPTIONS,
            )
        except jwt.PyJWTError as error:
            raise TokenError(type(error).__name__) from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject:
            raise TokenError("no subject")
        return subject

    def _parse_header(self, token: str) -> tuple[str, str]:
        if len(token) > MAX_CHARS:
            raise TokenError("too long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise TokenError("malformed") from error
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(kid, str) or not isinstance(algorithm, str):
            raise TokenError("no key id or no algorithm")
        if algorithm not in self._algorithms:
            raise TokenError("algorithm not accepted")
        return kid, algorithm
