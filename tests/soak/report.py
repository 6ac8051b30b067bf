"""docs/soak.md: a pytest plugin that `make soak` loads. A row that was not run counts as failed.

A row is a test with its parameters; those that only repeat it (a parameter called `repeat`) are counted together.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench import report as surroundings

DOC = Path(__file__).parents[2] / "docs/soak.md"
INTRODUCTION = """# Soak

`make soak` runs what takes too long for `make test`: repeats, random kills, ten thousand transcriptions on simulated
nodes. It wrote this page. A row that was not run, or was skipped, counts as failed."""


@dataclass(slots=True)
class Row:
    """One test and its repeats."""

    wanted: int = 0
    run: int = 0
    passed: int = 0
    seconds: float = 0.0

    @property
    def has_passed(self) -> bool:
        return self.passed == self.wanted


class SoakReport:
    """Counts by row."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._row_of: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            name = name_row(item)
            self._row_of[item.nodeid] = name
            self.rows.setdefault(name, Row()).wanted += 1

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self.rows[self._row_of[report.nodeid]]
        row.seconds += report.duration
        if report.when == "call":
            row.run += 1
            row.passed += report.passed
        elif report.failed and report.when == "teardown" and row.passed:
            row.passed -= 1

    def pytest_sessionfinish(self) -> None:
        seen = surroundings.look_around()
        facts = {"Command": "`make soak`", "Commit": f"`{seen.commit}`", "Machine": seen.machine, "Day": seen.day}
        DOC.write_text(render(self.rows, facts))


def name_row(item: pytest.Item) -> str:
    """The test as it reads, and its parameters."""
    callspec = getattr(item, "callspec", None)
    values = {} if callspec is None else dict(zip(callspec.params, callspec._idlist, strict=False))
    kept = [value for name, value in values.items() if name != "repeat"]
    words = str(getattr(item, "originalname", item.name)).removeprefix("test_").replace("_", " ")
    return f"{words} ({', '.join(kept)})" if kept else words


def render(rows: dict[str, Row], facts: dict[str, str]) -> str:
    """The page."""
    lines = [f"- {name}: {fact}" for name, fact in facts.items()]
    failed = [name for name, row in rows.items() if not row.has_passed]
    verdict = f"{len(rows) - len(failed)} of {len(rows)} rows passed." if rows else "Nothing was run: failed."
    table = ["| row | times run | passed | seconds |", "|---|---|---|---|"]
    table += [_render_row(name, row) for name, row in rows.items()]
    return "\n".join([INTRODUCTION, "", *lines, "", verdict, "", *table, ""])


def _render_row(name: str, row: Row) -> str:
    passed = str(row.passed) if row.has_passed else f"**{row.passed}, failed**"
    times = str(row.run) if row.run == row.wanted else f"{row.run} of {row.wanted}"
    return f"| {name} | {times} | {passed} | {row.seconds:.0f} |"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(SoakReport(), "soak-report")
