"""Log lines, alike in all three programs: one JSON object each, on standard error. Set up by each `__main__`."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from time import time
from typing import Any

from pydantic_core import to_json

_ENCODER = json.JSONEncoder(default=str, separators=(",", ":"))
_EMPTY = vars(logging.makeLogRecord({}))
_STANDARD = frozenset(_EMPTY) | {"message", "asctime", "taskName", "color_message"}


class Line(logging.LogRecord):
    """A record of a constant message and plain facts, at a third of the price: for what each request writes.

    Where it was made, by which thread and the like is not asked; `Logger.handle` takes it when the logger is on.
    """

    def __init__(self, logger: str, level: int, message: str, facts: Mapping[str, str | float]) -> None:
        self.__dict__.update(_EMPTY)
        self.name = logger
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.msg = message
        self.created = time()
        self.facts = facts


class JsonFormatter(logging.Formatter):
    """Time, level, logger and the constant message; then the facts of the program, and those given as `extra`."""

    def __init__(self, facts: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._facts = dict(facts or {})
        self._second = 0
        self._until_second = ""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self._render_time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._facts,
        }
        if isinstance(record, Line):
            line |= record.facts
            return to_json(line, ensure_ascii=True).decode()
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)

    def _render_time(self, created: float) -> str:
        """In UTC. Most lines come within the second of another, and share all but the milliseconds."""
        second = int(created)
        if second != self._second:
            self._second, self._until_second = second, f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._until_second}.{int((created - second) * 1000):03}+00:00"


def configure_logging(package: str, level: str, facts: Mapping[str, str] | None = None) -> None:
    """Log what our package says from `level` up, and what others say from WARNING up."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(facts))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(package).setLevel(level.upper())
    logging.captureWarnings(True)
    _collect_less()


def _collect_less() -> None:
    """What no line shows need not be asked of the system for each."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001  # the way that logging documents
