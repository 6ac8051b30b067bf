"""Log lines, alike in all three programs: one JSON object each, on standard error. Set up by each `__main__`."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from time import time
from typing import Any, TextIO

from pydantic_core import to_json

_ENCODER = json.JSONEncoder(default=str, separators=(",", ":"))
_EMPTY = vars(logging.makeLogRecord({}))
_STANDARD = frozenset(_EMPTY) | {"message", "asctime", "taskName", "color_message"}


class Line(logging.LogRecord):
    """A record of a constant message and plain facts: where it was made, by which thread and the like is not asked."""

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
            "message": record.msg if isinstance(record, Line) else record.getMessage(),
            **self._facts,
        }
        if isinstance(record, Line):
            line.update(record.facts)
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


class LineHandler(logging.StreamHandler[TextIO]):
    """For standard error, which Python writes at the end of each line: nothing is left to flush."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.stream.write(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001  # what cannot be logged stops nothing
            self.handleError(record)


def log_line(logger: logging.Logger, level: int, message: str, facts: Mapping[str, str | float]) -> None:
    """As `logger.log` with `extra`, at about half of its price: for what each request writes.

    The handlers of the root are told, where configure_logging puts ours; loggers on the way are not asked for theirs.
    """
    if logger.isEnabledFor(level):
        line = Line(logger.name, level, message, facts)
        for handler in logging.root.handlers:
            if level >= handler.level:
                handler.emit(line)


def configure_logging(package: str, level: str, facts: Mapping[str, str] | None = None) -> None:
    """Log what our package says from `level` up, and what others say from WARNING up."""
    handler = LineHandler()
    handler.setFormatter(JsonFormatter(facts))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(package).setLevel(level.upper())
    logging.captureWarnings(True)
    _collect_less()


def _collect_less() -> None:
    """What no line shows need not be asked of the system for each."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001  # the way that logging documents
