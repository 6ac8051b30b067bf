"""Who may call: from the headers of a request to its caller. The gate is built by app and asked by admit."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from api.errors import Code, ProblemError
from api.heads import Heads
from api.issuer import Issuer
from api.keys import KeyFile
from api.metrics import Metrics
from api.row import Row
from api.settings import ApiSettings
from api.tenants import ANONYMOUS, build_tenant
from api.tokens import TokenError, Tokens
from crds.callback import SIGNATURE_HEADER

KEY_HEADER = "x-api-key"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls; a confined one sees what is its own and nothing else."""

    tenant: str = ANONYMOUS
    is_confined: bool = False

    def may_see(self, row: Row) -> bool:
        return not self.is_confined or row.tenant == self.tenant


class Gate(Protocol):
    async def admit(self, headers: Heads) -> Caller:
        """ProblemError 401 or 403 for those that may not call; UnavailableError when that cannot be known."""
        ...


class OpenGate:
    """Everybody is the same caller, whatever credential is sent along."""

    def __init__(self) -> None:
        self._everybody = Caller()

    async def admit(self, headers: Heads) -> Caller:  # noqa: ARG002  # nothing that is sent counts here
        return self._everybody


class KeyGate:
    """Callers show a key that the installation has handed out."""

    def __init__(self, keys: KeyFile) -> None:
        self._keys = keys

    async def admit(self, headers: Heads) -> Caller:
        tenant = self._keys.find(bearer_of(headers) or headers.get(KEY_HEADER) or _refuse_bare(headers))
        if tenant is None:
            raise _unauthorized("unknown key")
        return Caller(tenant, is_confined=True)


class TokenGate:
    """Callers show a token of the issuer; its subject is the tenant."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def admit(self, headers: Heads) -> Caller:
        try:
            subject = await self._tokens.read(bearer_of(headers) or _refuse_bare(headers))
        except TokenError as error:
            raise _unauthorized(str(error)) from error
        return Caller(build_tenant(subject), is_confined=True)


def build_gate(settings: ApiSettings, now: Callable[[], datetime], metrics: Metrics | None = None) -> Gate:
    """The gate that the settings ask for; KeyFileError or ValueError when it cannot stand."""
    if settings.auth_mode == "api-key" and settings.keys_file:
        keys = KeyFile(settings.keys_file, now)
        if metrics is not None:
            metrics.follow_keys(keys.age_seconds)
        return KeyGate(keys)
    if settings.auth_mode == "oidc":
        issuer = Issuer(settings.oidc_jwks_url or "", settings.oidc_algorithms, now)
        return TokenGate(Tokens(settings, issuer))
    if settings.auth_mode == "none":
        return OpenGate()
    raise ValueError(f"no gate can be built for auth_mode {settings.auth_mode}")


def bearer_of(headers: Heads) -> str | None:
    """What stands behind `Bearer` in Authorization; None where nothing does."""
    scheme, _, credential = headers.get("authorization", "").partition(" ")
    return credential.strip() or None if scheme.lower() == "bearer" else None


def _refuse_bare(headers: Heads) -> str:
    """For requests without a credential: it never returns a text."""
    if SIGNATURE_HEADER in headers:
        logger.info("caller refused", extra={"cause": "signature of a worker"})
        detail = "A worker's signature opens nothing here: send a caller's credential."
        raise ProblemError(403, Code.FORBIDDEN, detail)
    raise _unauthorized("no credential")


def _unauthorized(cause: str) -> ProblemError:
    """The one answer, whatever the cause; that is for the log alone."""
    logger.info("caller refused", extra={"cause": cause})
    detail = "Send a valid credential in the header Authorization: Bearer."
    return ProblemError(401, Code.UNAUTHORIZED, detail).with_headers(WWW_Authenticate="Bearer")
