"""docs/openapi.json: what the API publishes, frozen. Run as a program it writes the file anew; tests compare."""

import json
from pathlib import Path
from typing import Any

from api.app import build_app
from tests.support.api_fakes import FakeStore, FakeUploads, some_settings

FILE = Path(__file__).parents[2] / "docs/openapi.json"
COMMAND = "python3 -m tests.support.frozen_openapi"


def render_document(document: dict[str, Any]) -> str:
    """As it lies in the repository: indented, so that a change can be read."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(render_document(build_app(some_settings(), FakeStore(), FakeUploads()).openapi()), encoding="utf-8")
