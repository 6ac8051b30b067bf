"""What openapi.json says of fields that code checks: patterns and rules of JSON Schema. Data alone; used by schemas.

A little stricter than the code where JSON Schema cannot tell, so that whatever fits is taken.
"""

from collections.abc import Iterable
from typing import Any

from pydantic import JsonValue

_CONTROL = r"\u0000-\u001f\u007f-\u009f"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

TEXT = r"^[^\u0000]*$"
FILENAME = rf"^[^{_CONTROL}]*[^{_CONTROL}\s./\\][^{_CONTROL}/\\]*$"
VIDEO_URL = (
    rf"^(https?://({_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?/([^{_CONTROL}\s#\\%]|%[0-9A-Fa-f]{{2}})+"
    rf"|s3://[^{_CONTROL}/:@]+/[^{_CONTROL}]+)$"
)
CALLBACK_URL = r'^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)(:[0-9]{1,5})?([/?][!-"$-\[\]-~]*)?$'

DIALECTS: list[JsonValue] = [
    {"required": [field], "properties": {field: {"type": "string", "minLength": 1}}}
    for field in ("content_type", "filetype")
]
"""The type under one of its two names; the other is absent, null or empty."""

ENDINGS: list[JsonValue] = [
    {
        "required": ["result"],
        "properties": {
            "result": {"type": "object"},
            "error": {"type": "null"},
            "status": {"enum": ["completed", None]},
        },
    },
    {
        "required": ["error"],
        "properties": {
            "result": {"type": "null"},
            "error": {"type": "object"},
            "status": {"enum": ["failed", "cancelled", None]},
        },
    },
]
"""What a callback may say together."""


def or_empty(pattern: str) -> str:
    """The same, or nothing at all."""
    return f"^$|{pattern}"


def build_translation_by(models: Iterable[str]) -> dict[str, Any]:
    """A request for a translation by one of these models."""
    return {
        "required": ["task", "model"],
        "properties": {"task": {"const": "translate"}, "model": {"enum": sorted(models)}},
    }
