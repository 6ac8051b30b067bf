"""The headers of a request for those who ask for a few by name: cors, guard, quick, and admit behind it."""

from collections.abc import Mapping

from starlette.types import Scope

Heads = Mapping[str, str]
"""Values by names in small letters; of several with one name it is the first, as in Starlette's Headers."""

PLACE = "api.heads"


def heads_of(scope: Scope) -> Heads:
    """All of them, read once: to look each up where it stands costs more with each header and each question."""
    heads: Heads | None = scope.get(PLACE)
    if heads is None:
        heads = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        scope[PLACE] = heads
    return heads
