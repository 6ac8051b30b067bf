"""What a run has shown, as Markdown, and its place in docs/benchmarks.md. Used by __main__."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench.figures import digits
from tests.bench.harness import ROUNDS, Outcome, Row

WRITTEN = ("benchmarks.md", "soak.md", "controller-scale.svg")
"""By the runs themselves, so they say nothing about what was run."""
ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs/benchmarks.md"
BEGIN = "<!-- written by make bench: begin -->"
END = "<!-- written by make bench: end -->"
PACKAGES = ("uvicorn", "starlette", "fastapi", "pydantic", "kubernetes", "aiohttp", "kopf")
LOCKED = {"worker.txt": ("torch", "openai-whisper", "numpy"), "bench.txt": ("ctranslate2",)}
"""What runs in the worker's image, by lock file; where a package has two versions, the later is for its Python."""
HEAD = "| ours / peer | goal | pairs | what | peer | ours | peer's | control |\n|---|---|---|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a figure means nothing without."""

    commit: str
    machine: str
    versions: str
    command: str
    day: str
    load: str = ""


def look_around() -> Circumstances:
    """This checkout on this machine."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    locked = ", ".join(f"{name} {find_locked(name, file)}" for file, names in LOCKED.items() for name in names)
    return Circumstances(
        commit=_commit(),
        machine=f"{os.cpu_count()} cores ({_processor()}), {_memory_gib():.0f} GiB, {platform.system()}",
        versions=f"Python {platform.python_version()}, {versions}; in the worker's image: {locked}",
        command="make bench",
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        load=" ".join(f"{load:.2f}" for load in os.getloadavg()),
    )


def find_locked(name: str, file: str) -> str:
    """The version in a lock file."""
    return re.findall(rf"^{re.escape(name)}==(\S+)", (ROOT / "requirements" / file).read_text(), re.MULTILINE)[-1]


def render(outcomes: Sequence[Outcome], seen: Circumstances) -> str:
    """The figures with what they were measured on."""
    facts = {"Command": f"`{seen.command}`", "Commit": f"`{seen.commit}`", "Machine": seen.machine}
    fewer = [f"{one.bench.rounds} for {one.bench.name}" for one in outcomes if one.bench.rounds != ROUNDS]
    facts |= {"Versions": seen.versions, "Day": seen.day, "Pairs": ", ".join([f"{ROUNDS}", *fewer, "interleaved"])}
    lines = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    return "\n\n".join([lines, *map(render_table, outcomes)])


def render_table(outcome: Outcome) -> str:
    rows = "\n".join(map(_render_row, outcome.rows()))
    return f"### {outcome.bench.title}\n\n{HEAD}\n{rows}"


def missed(outcomes: Sequence[Outcome]) -> list[str]:
    """A sentence for each goal that was not reached."""
    return [
        f"missed: {outcome.bench.name}, {row.unit}: {digits(row.ratio.median)} instead of {row.goal}"
        for outcome in outcomes
        for row in outcome.rows()
        if row.is_missed
    ]


def put_between_marks(text: str, figures: str) -> str:
    """The document with these figures in place of the former ones."""
    return put_between(text, BEGIN, END, figures)


def put_between(text: str, begin: str, end: str, figures: str) -> str:
    """The text with this between two lines of it."""
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{figures}\n\n{end}{after}"


def raw(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Every sample of every side, bench by bench, with what was made of them."""
    return {one.bench.name: {"samples": one.samples, "rows": [asdict(row) for row in one.rows()]} for one in outcomes}


def _render_row(row: Row) -> str:
    goal = "" if row.goal is None else f"{row.goal} {'**missed**' if row.is_missed else 'met'}"
    pairs = f"{digits(row.ratio.low)} to {digits(row.ratio.high)}"
    cells = (f"**{digits(row.ratio.median)}**", goal, pairs, row.unit, row.peer, row.ours, row.theirs)
    return f"| {' | '.join(map(str, cells))} | {row.control:.2f} |"


def _commit() -> str:
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", *(f":!docs/{name}" for name in WRITTEN))
    return f"{commit} with uncommitted changes" if changed else commit


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
