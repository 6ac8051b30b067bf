"""The paths that are asked most go straight to their handlers, past the routing and the dependencies of FastAPI.

Those cost more than all the rest of a request. The routes are declared in routes as any other, and so is what
openapi.json says of them; requests with a query or an optional header go the usual way, which checks those too.
"""

from collections.abc import Sequence
from typing import Any, get_type_hints

from fastapi import Request, Response
from pydantic import BaseModel
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.admit import AdmittedRoute, admit
from api.bodies import read_json, validate
from api.errors import ANSWERED, answer_error
from api.heads import heads_of
from api.wiring import Parts

OPTIONAL_HEADERS = frozenset({"idempotency-key"})


class QuickRoute(AdmittedRoute):
    """Its handler takes path parameters, `parts`, `caller` and, where it has a body, `asked`; it answers a Response."""

    def __init__(self, path: str, endpoint: Any, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._model: type[BaseModel] | None = get_type_hints(endpoint).get("asked")

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """What the handler answers to a request that is plain and for this path."""
        parts: Parts = scope["app"].state.parts
        heads = heads_of(scope)
        client = scope.get("client")
        caller = await admit(heads, client[0] if client else "", parts)
        given: dict[str, Any] = {**scope["path_params"], "parts": parts, "caller": caller}
        if self._model is not None:
            given["asked"] = validate(self._model, await read_json(receive, heads, parts.settings.max_body_bytes))
        response: Response = await self.endpoint(**given)
        return response


class Quick:
    """ASGI middleware before the router."""

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        quick = [route for route in routes if isinstance(route, QuickRoute)]
        self._whole = {route.path: route for route in quick if not route.param_convertors}
        self._patterns = [route for route in quick if route.param_convertors]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._find(scope)
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route
        try:
            response = await route.answer(scope, receive)
        except ANSWERED as error:
            response = await answer_error(Request(scope), error)
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> QuickRoute | None:
        if scope["type"] != "http" or scope["query_string"] or not OPTIONAL_HEADERS.isdisjoint(heads_of(scope)):
            return None
        whole = self._whole.get(scope["path"])
        if whole is not None and scope["method"] in (whole.methods or ()):
            scope["path_params"] = {}
            return whole
        for route in self._patterns:
            found = route.path_regex.match(scope["path"]) if scope["method"] in (route.methods or ()) else None
            if found:
                scope["path_params"] = found.groupdict()
                return route
        return None
