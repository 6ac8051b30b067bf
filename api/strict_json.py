"""Strict JSON: what other parsers would read differently is refused before validation. Pure; called by bodies."""

import json
import math
import re
from itertools import chain
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_NODES = 10_000
MAX_INTEGER_DIGITS = 19

_WIDE_ENCODINGS = (b"\xff\xfe", b"\xfe\xff", b"\x00")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonSyntaxError(ValueError):
    """The text is not JSON."""


class JsonSizeError(ValueError):
    """The text holds more values than its reader wants in memory."""


class JsonEncodingError(ValueError):
    """The text is JSON in another encoding than UTF-8."""


class JsonValueError(ValueError):
    """JSON that no two parsers read alike, or that is nested too deeply."""


def parse_json(body: bytes, max_nodes: int = MAX_NODES) -> Any:
    """The value of a UTF-8 JSON text; one of the four errors above otherwise."""
    if count_nodes(body) > max_nodes:
        raise JsonSizeError(f"The body holds more than {max_nodes} values: send fewer.")
    text = _decode(body)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JsonSyntaxError("The body is not valid JSON.") from error
    except RecursionError as error:
        raise JsonSyntaxError("The body is nested too deeply.") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    if _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def count_nodes(body: bytes) -> int:
    """At least the number of values and names, before any of them takes memory; a text may count as more."""
    return body.count(b"[") + body.count(b"{") + body.count(b",") + body.count(b":")


def _decode(body: bytes) -> str:
    if body.startswith(_WIDE_ENCODINGS) or body[1:2] == b"\x00":
        raise JsonEncodingError("JSON must be sent as UTF-8.")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise JsonSyntaxError("The body is not valid UTF-8.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise JsonSyntaxError("A name occurs twice in one object.")
    return value


def _refuse_constant(_: str) -> NoReturn:
    raise JsonValueError("NaN and Infinity are not JSON numbers.")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonValueError("A number is too large.")
    return value


def _integer(text: str) -> int:
    if len(text.removeprefix("-")) > MAX_INTEGER_DIGITS:
        raise JsonValueError("A number is too large.")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer
)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        if not inner:
            return
        level = list(chain.from_iterable(inner))
    raise JsonValueError("The body is nested too deeply.")


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise JsonValueError("A text holds half of a surrogate pair.") from error
