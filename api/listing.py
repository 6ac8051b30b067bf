"""From a query to one page of transcriptions, and the token that leads to the next. Called by the list route."""

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from api.auth import Caller
from api.documents import word_of
from api.errors import Code, ProblemError
from api.row import Place, Row
from api.rows import Rows
from api.schemas import Word, refuse_unknown
from crds.transcriptionjob import NAME_PATTERN

MAX_LIMIT = 100
DIGEST_BYTES = 12

_NAME = re.compile(NAME_PATTERN)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")


def _check_time(value: object) -> object:
    if isinstance(value, str) and not _TIME.fullmatch(value):
        raise ValueError("send a time such as 2025-09-11T03:45:48Z; a + of the offset is sent as %2B")
    return value


def _check_number(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise ValueError(f"send a whole number from 1 to {MAX_LIMIT}")
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_check_time)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_check_number)]


class ListQuery(BaseModel):
    """The query of GET jobs; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_alone(cls, value: object) -> object:
        return refuse_unknown(cls, value)

    status: Word | None = Field(None, description="Only jobs that stand so.")
    model: str | None = Field(
        None, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Only jobs that asked for this model."
    )
    created_after: Time | None = Field(None, description="Only jobs made at this time or later (RFC 3339).")
    created_before: Time | None = Field(None, description="Only jobs made before this time (RFC 3339).")
    limit: Limit = Field(MAX_LIMIT, description="So many jobs at most.")
    next_token: str | None = Field(
        None,
        max_length=256,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="next_token of the page before; the other filters stay as they were.",
    )


def list_page(query: ListQuery, rows: Rows, caller: Caller) -> tuple[list[Row], str | None]:
    """The newest that fit and the caller may see, and the token of the next page; None at the end."""
    seal = _build_seal(query, caller)

    def is_wanted(row: Row) -> bool:
        return (
            not row.is_deleting
            and caller.may_see(row)
            and (query.status is None or word_of(row) == query.status)
            and (query.model is None or row.model == query.model)
        )

    found = rows.page(is_wanted, _find_start(query, seal), query.limit + 1, query.created_after)
    shown = found[: query.limit]
    return shown, _render_token(shown[-1].place, seal) if len(found) > query.limit else None


def _find_start(query: ListQuery, seal: bytes) -> Place | None:
    bounds = [(query.created_before, "")] if query.created_before else []
    if query.next_token is not None:
        bounds.append(_parse_token(query.next_token, seal))
    return min(bounds, default=None)


def _build_seal(query: ListQuery, caller: Caller) -> bytes:
    """What a token holds for: these filters, asked by this tenant."""
    filters = query.model_dump_json(exclude={"limit", "next_token"})
    return hashlib.sha256(f"{caller.tenant}\n{filters}".encode()).digest()


def _render_token(place: Place, seal: bytes) -> str:
    text = f"{place[0].astimezone(UTC).isoformat()} {place[1]}".encode()
    return base64.urlsafe_b64encode(_digest(text, seal) + text).rstrip(b"=").decode()


def _parse_token(token: str, seal: bytes) -> Place:
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        text = raw[DIGEST_BYTES:]
        created, name = text.decode().split(" ")
        place = datetime.fromisoformat(created), name
        rendered = _render_token(place, seal) if _NAME.fullmatch(name) else ""
    except (ValueError, OverflowError) as error:
        raise _refuse_token() from error
    if not hmac.compare_digest(rendered, token):
        raise _refuse_token()
    return place


def _digest(text: bytes, seal: bytes) -> bytes:
    return hashlib.sha256(seal + text).digest()[:DIGEST_BYTES]


def _refuse_token() -> ProblemError:
    message = "send next_token as the page before gave it, with the same filters, or leave it out"
    faults = {"errors": [{"field": "next_token", "message": message}]}
    detail = f"Correct the request and send it again. next_token: {message}"
    return ProblemError(422, Code.VALIDATION_FAILED, detail, faults)
