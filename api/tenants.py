"""Tenants: whose a request and a transcription is. Pure; used by auth and keys."""

import hashlib
import re

ANONYMOUS = "anonymous"
MAX_CHARS = 63
MAX_CLEANED_CHARS = 46
"""Leaves room for a hyphen and 16 hex digits within the 63 characters of a label."""

_PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_MAPPED = re.compile(r".*-[0-9A-Fa-f]{16}")
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")
_EDGE = "._-"


def build_tenant(subject: str) -> str:
    """The tenant of a subject: itself where it is plain, else a cleaned name with a digest.

    No plain name looks like one with a digest, so nobody can choose a subject that becomes another's tenant.
    """
    if is_plain_tenant(subject):
        return subject
    cleaned = _FOREIGN.sub("-", subject).strip(_EDGE)[:MAX_CLEANED_CHARS] or "subject"
    digest = hashlib.sha256(subject.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{cleaned}-{digest}"


def is_plain_tenant(name: str) -> bool:
    """Whether a name is a tenant as it stands: fit for a label and a key, and neither reserved nor a mapped one."""
    return (
        len(name) <= MAX_CHARS
        and name != ANONYMOUS
        and _PLAIN.fullmatch(name) is not None
        and _MAPPED.fullmatch(name) is None
    )
