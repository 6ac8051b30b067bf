"""Log lines: those of each request are written another way than the rest, and look the same."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from crds.log import JsonFormatter, LineHandler, log_line

FACTS: dict[str, str | float] = {"method": "POST", "path": "/한\n\x1b", "status": 202, "duration_ms": 1.5}


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("crds.test")
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Where the only handler of the root writes."""
    stream = io.StringIO()
    handler = LineHandler(stream)
    handler.setFormatter(JsonFormatter({"part": "api"}))
    monkeypatch.setattr(logging.root, "handlers", [handler])
    return stream


def test_a_line_of_facts_is_as_any_other(logger: logging.Logger, stream: io.StringIO) -> None:
    log_line(logger, logging.INFO, "request", FACTS)
    logger.info("request", extra=FACTS)
    short, usual = (json.loads(line) for line in stream.getvalue().splitlines())
    assert list(short) == list(usual)
    del short["time"], usual["time"]
    assert short == usual == {"level": "INFO", "logger": "crds.test", "message": "request", "part": "api"} | FACTS
    assert stream.getvalue().replace("\n", "").isprintable()
    assert stream.getvalue().isascii()


def test_a_logger_that_is_off_writes_nothing(logger: logging.Logger, stream: io.StringIO) -> None:
    log_line(logger, logging.DEBUG, "request", FACTS)
    assert stream.getvalue() == ""


def test_a_handler_that_wants_more_is_left_out(logger: logging.Logger, stream: io.StringIO) -> None:
    logging.root.handlers[0].setLevel(logging.WARNING)
    log_line(logger, logging.INFO, "request", FACTS)
    assert stream.getvalue() == ""


def test_other_handlers_take_it_for_a_record(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    log_line(logger, logging.INFO, "request", FACTS)
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("crds.test", "request")]


def test_what_cannot_be_written_stops_nothing(logger: logging.Logger, stream: io.StringIO) -> None:
    stream.close()
    logging.root.handlers[0].handleError = lambda _: None  # type: ignore[method-assign]  # it writes to standard error
    log_line(logger, logging.INFO, "request", FACTS)


@pytest.mark.parametrize(
    ("created", "time"),
    [
        (0.0, "1970-01-01T00:00:00.000+00:00"),
        (1757562348.25, "2025-09-11T03:45:48.250+00:00"),
        (1757562348.999, "2025-09-11T03:45:48.999+00:00"),
        (1757562349.0, "2025-09-11T03:45:49.000+00:00"),
    ],
)
def test_times_are_of_the_millisecond(created: float, time: str) -> None:
    formatter = JsonFormatter()
    formatter.format(logging.makeLogRecord({"created": 1757562348.0}))
    assert json.loads(formatter.format(logging.makeLogRecord({"created": created})))["time"] == time
