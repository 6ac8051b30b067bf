"""The paths that are asked most go straight to their handlers, past the routing and the dependencies of FastAPI.

Those cost more than all the rest of a request. The routes are declared in routes as any other, and so is what
openapi.json says of them; requests with a query or an optional header go the usual way, which checks those too.
"""

from collections.abc import Sequence
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.admit import AdmittedRoute, admit
from api.bodies import StrictRequest, check_json_type, validate
from api.errors import ANSWERED, answer_error
from api.wiring import parts_of

OPTIONAL_HEADERS = frozenset({b"idempotency-key"})


class QuickRoute(AdmittedRoute):
    """Its handler takes path parameters, `parts`, `caller` and, where it has a body, `asked`; it answers a Response."""

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._model: type[BaseModel] | None = get_type_hints(endpoint).get("asked")

    async def answer(self, request: Request) -> Response:
        """What the handler answers to a request that is plain and for this path."""
        caller = await admit(request)
        given: dict[str, Any] = {**request.path_params, "parts": parts_of(request), "caller": caller}
        if self._model is not None:
            given["asked"] = await _read(request, self._model)
        response: Response = await self.endpoint(**given)
        return response


class Quick:
    """ASGI middleware before the router."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = [route for route in routes if isinstance(route, QuickRoute)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._find(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        request = Request(scope, receive)
        try:
            response = await route.answer(request)
        except ANSWERED as error:
            response = await answer_error(request, error)
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> QuickRoute | None:
        if scope["type"] != "http" or scope["query_string"]:
            return None
        for route in self._routes:
            found = route.path_regex.match(scope["path"]) if scope["method"] in (route.methods or ()) else None
            if found and not any(name in OPTIONAL_HEADERS for name, _ in scope["headers"]):
                scope["path_params"] = found.groupdict()
                return route
        return None


async def _read(request: Request, model: type[BaseModel]) -> BaseModel:
    check_json_type(request)
    strict = StrictRequest(request.scope, request.receive)
    if not await strict.body():
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
    return validate(model, await strict.json())
