"""`python -m tests.bench [BENCH ...]`: run the benches against the running dev cluster. Called by `make bench`.

Without names all run, and docs/benchmarks.md is written. A missed goal is printed and is no failure; a side that does
not run, or a machine too noisy to measure on, is. After one of these the other benches still run and are printed.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict

from tests.bench import api_benches, controller_benches, report, worker_benches
from tests.bench.harness import Bench, BenchError, Outcome, measure

BENCHES: dict[str, Callable[[], Bench]] = {
    **api_benches.BENCHES,
    **controller_benches.BENCHES,
    **worker_benches.BENCHES,
}
Around = Callable[[], AbstractContextManager[None]]
RAW = report.ROOT / ".dev/bench.json"


def main(names: Sequence[str]) -> int:
    """Measure, print, and write down; 0 when all sides ran."""
    if unknown := [name for name in names if not expand([name], BENCHES)]:
        _tell(f"no such bench: {', '.join(unknown)}; there are {', '.join(BENCHES)}")
        return 2
    found = measure_all([BENCHES[name]() for name in expand(names, BENCHES) or BENCHES])
    outcomes = [one for one in found.values() if isinstance(one, Outcome)]
    faults = [f"bench {name}: {one}" for name, one in found.items() if isinstance(one, BenchError)]
    seen = report.look_around()
    RAW.write_text(json.dumps({"circumstances": asdict(seen), "benches": report.raw(outcomes)}, indent=1))
    figures = report.render(outcomes, seen)
    _tell("\n".join(["", figures, "", *report.missed(outcomes), *faults]))
    if faults:
        return 1
    if not names:
        report.DOC.write_text(report.put_between_marks(report.DOC.read_text(), figures))
    return 0


def expand(names: Sequence[str], known: Iterable[str]) -> list[str]:
    """The benches of these names, and those of a group: `engine` means engine-tiny and the others."""
    return [name for name in known if any(name == wanted or name.startswith(f"{wanted}-") for wanted in names)]


def measure_all(benches: Sequence[Bench]) -> dict[str, Outcome | BenchError]:
    """Those that need the same resources run one after the other, whatever the order of the page."""
    found: dict[str, Outcome | BenchError] = {}
    for around in dict.fromkeys(bench.around for bench in benches):
        found |= _measure_group(around, [bench for bench in benches if bench.around is around])
    return {bench.name: found[bench.name] for bench in benches}


def _measure_group(around: Around, benches: Sequence[Bench]) -> dict[str, Outcome | BenchError]:
    _tell("making what is needed on the cluster, if anything")
    try:
        with around():
            return {bench.name: _measure(bench) for bench in benches}
    except BenchError as error:
        return {bench.name: error for bench in benches}


def _measure(bench: Bench) -> Outcome | BenchError:
    """Once more when a peer differed too much from itself."""
    try:
        for _ in range(2):
            outcome = measure(bench, tell=_tell)
            if outcome.is_quiet:
                return outcome
            _tell(f"{bench.name}: the machine is noisy, so none of this counts")
    except BenchError as error:
        return error
    return BenchError("the machine is too noisy: end what else runs on it, and try again")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
