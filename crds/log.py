"""Log lines, alike in all three programs: one JSON object each, on standard error. Set up by each `__main__`."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_ENCODER = json.JSONEncoder(default=str)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Time, level, logger and the constant message; then the facts of the program, and those given as `extra`."""

    def __init__(self, facts: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._facts = dict(facts or {})

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._facts,
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)


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
