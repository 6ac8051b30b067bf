"""The step before every route of users: who calls, and not too often. The routers take their route class here."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request, Response

from api.auth import Caller
from api.bodies import StrictRoute
from api.errors import ProblemError
from api.heads import Heads
from api.wiring import Parts, parts_of

MAX_LENGTH_DIGITS = 5
"""A refused body that is announced with more digits is not read to its end: the connection is closed."""


class AdmittedRoute(StrictRoute):
    """A route whose caller is known before any of the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_admitted(request: Request) -> Response:
            address = request.client.host if request.client else ""
            request.state.caller = await admit(request.headers, address, parts_of(request))
            return await handle(request)

        return handle_admitted


async def admit(headers: Heads, address: str, parts: Parts) -> Caller:
    """Who calls; ProblemError 401, 403 or 429, UnavailableError when that cannot be known."""
    try:
        try:
            caller = await parts.gate.admit(headers)
        except ProblemError:
            parts.rates.count_failure(address)
            raise
        parts.rates.count(caller, address)
    except ProblemError as problem:
        if _has_long_body(headers):
            problem.and_close()
        raise
    return caller


def _has_long_body(headers: Heads) -> bool:
    announced = headers.get("content-length", "0")
    return "transfer-encoding" in headers or len(announced) > MAX_LENGTH_DIGITS


async def caller_of(request: Request) -> Caller:
    """The caller that the route has admitted."""
    caller: Caller = request.state.caller
    return caller


Called = Annotated[Caller, Depends(caller_of)]
