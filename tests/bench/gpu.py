"""`python -m tests.bench.gpu`: the benches that need a GPU, in one command of less than ten minutes.

It runs where torch, whisper and a GPU are: in the worker's image, or in an environment of requirements/worker.txt; with
transformers beside them that is a peer, too. Nothing is downloaded: weights are random. Without a GPU it says that
nothing was measured and ends with 3; `--toy` runs every line on a CPU with a toy model, whose figures mean nothing.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.bench import report
from tests.bench.figures import Goal, at_least, at_most
from tests.bench.harness import Bench, BenchError, Outcome, Side, measure

NOT_MEASURED = 3
SECONDS = 540.0
LEAST_ROUNDS = 3
PACKAGES = ("torch", "openai-whisper", "transformers")
STEP_GOALS = {"large-v3": 0.25, "turbo": 0.35}


def main(words: Sequence[str]) -> int:
    """Measure what can be, print it and write it down."""
    options = _parse(words)
    why = "" if options.toy else find_obstacle()
    if why:
        _tell(f"G1 to G5, and the GPU's halves of G8 and G9: not measured: {why}")
        return NOT_MEASURED
    from tests.bench import gpu_run  # imports torch

    outcomes, notes, facts = gpu_run.run(is_toy=options.toy, tell=_tell)
    _tell("\n\n".join([render(outcomes, notes, look_around() | facts), *report.missed(outcomes)]))
    document = {"facts": look_around() | facts, "notes": notes, "benches": report.raw(outcomes)}
    options.out.write_text(json.dumps(document, indent=1))
    return 0


def find_obstacle() -> str:
    """Why nothing can be measured here, or nothing."""
    try:
        import torch  # where it is missing, that is the answer
    except ImportError:
        return "torch is not installed here"
    return "" if torch.cuda.is_available() else "no GPU"


def build_batch(name: str, rows: int, sides: Mapping[str, Side], goals: Mapping[str, Goal], unit: str) -> Bench:
    """Windows a second beside all peers of these that have run."""
    first, *others = list(sides)[1:]
    return Bench(
        f"{name}-{rows}",
        f"{name}, {rows} windows at once",
        sides,
        {unit: goals.get(first)},
        peer_goals={peer: {unit: goals[peer]} for peer in others if peer in goals},
    )


def choose_rounds(round_seconds: float, share_seconds: float, wanted: int) -> int:
    """As many pairs as the time allows, and never fewer than three or more than wanted."""
    return min(wanted, max(LEAST_ROUNDS, int(share_seconds / max(round_seconds, 1e-9))))


def drop_failing(sides: Mapping[str, Side], notes: list[str]) -> dict[str, Side]:
    """The sides that run, each having done so once; the first has to."""
    found: dict[str, Side] = {}
    for name, side in sides.items():
        try:
            side()
        except Exception as error:  # a peer of whatever kind, and its fault is said
            if not found:
                raise
            notes.append(f"{name}: not measured: {repr(error)[:200]}")
        else:
            found[name] = side
    return found


def run_bench(bench: Bench, warm_ups: int, share_seconds: float, tell: Callable[[str], None]) -> Outcome:
    """Warm up, see how long that takes, and measure."""
    ends_at, seconds = time.perf_counter() + share_seconds, share_seconds
    for _ in range(warm_ups):
        began_at = time.perf_counter()
        for side in bench.sides.values():
            side()
        seconds = time.perf_counter() - began_at
        if ends_at - time.perf_counter() < LEAST_ROUNDS * seconds:
            break
    rounds = choose_rounds(seconds, ends_at - time.perf_counter(), bench.rounds)
    return measure(replace(bench, rounds=rounds), tell)


def batch_goals(one_by_one: str, same_batch: str, roofline: str, sides: Mapping[str, Side]) -> dict[str, Goal]:
    """What is wanted of ours beside each."""
    rivals = {name: at_least(1.5) for name in sides if name.startswith("transformers")}
    return {one_by_one: at_least(30), same_batch: at_least(3), roofline: at_least(0.5), **rivals}


def step_goal(name: str) -> Goal:
    """A token of one window."""
    return at_most(STEP_GOALS.get(name, 0.25))


def look_around() -> dict[str, Any]:
    """The software."""
    facts = {"python": platform.python_version(), "day": time.strftime("%Y-%m-%d", time.gmtime())}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            facts[name] = version(name)
    return facts


def render(outcomes: Sequence[Outcome], notes: Sequence[str], facts: Mapping[str, Any]) -> str:
    """Markdown for docs/benchmarks.md."""
    lines = [f"- {name}: {fact}" for name, fact in facts.items()]
    lines += [f"- pairs: {', '.join(f'{one.bench.rounds} for {one.bench.title}' for one in outcomes)}"]
    return "\n\n".join(["\n".join([*lines, *(f"- {note}" for note in notes)]), *map(report.render_table, outcomes)])


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu")
    parser.add_argument("--toy", action="store_true", help="a toy model on the CPU: shows that every line runs")
    parser.add_argument("--out", type=Path, default=Path("/tmp/bench-gpu.json"), help="where all samples go")
    return parser.parse_args(words)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BenchError as error:
        sys.exit(f"bench: {error}")
