"""What the run with ten thousand has shown: a plot, and figures in docs/benchmarks.md. Used by test_scale."""

import sys
from collections.abc import Callable, Sequence
from statistics import median, quantiles

from tests.bench import report
from tests.soak.simulation import Moment, Run

BEGIN = "<!-- written by make soak: begin -->"
END = "<!-- written by make soak: end -->"
PLOT = report.ROOT / "docs/controller-scale.svg"
WIDTH, HEIGHT, LEFT, TOP, GAP = 860, 130, 70, 30, 46
STEPS = 5
STYLE = (
    "text{font:12px sans-serif;fill:#24292f} .axis{stroke:#8c959f;fill:none} "
    ".line{stroke:#0969da;fill:none;stroke-width:1.6}"
)


def tell(run: Run) -> None:
    """On the terminal."""
    sys.stdout.write("\n" + "\n".join(f"{name}: {value}" for name, value in build_figures(run).items()) + "\n")


def write(run: Run) -> None:
    """Into docs/."""
    PLOT.write_text(render_plot(run.moments))
    seen = report.look_around()
    facts = {"Command": "`make soak`", "Commit": f"`{seen.commit}`", "Machine": seen.machine, "Day": seen.day}
    rows = "\n".join(f"| {name} | {value} |" for name, value in build_figures(run).items())
    lines = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    text = f"{lines}\n\n| what | figure |\n|---|---|\n{rows}\n\n![Memory, CPU and progress over time]({PLOT.name})"
    report.DOC.write_text(report.put_between(report.DOC.read_text(), BEGIN, END, text))


def build_figures(run: Run) -> dict[str, str]:
    """Counts, times, memory, CPU."""
    last, peak = run.moments[-1], max(moment.mib for moment in run.moments)
    latencies = quantiles(run.sightings.latencies, n=100)
    failed = sum(1 for state in run.sightings.ends.values() if state == "Failed")
    return {
        "transcriptions, on simulated nodes": f"{run.plan.count:,} on {run.plan.nodes}",
        "places (`maxActive`), most Jobs at once": f"{run.plan.max_active}, {max(m.at_work for m in run.moments)}",
        "ended as they should, of them failed": f"{run.plan.count - len(run.lost()):,}, {failed}",
        "with more than one Job": str(len(run.sightings.twice())),
        "minutes, transcriptions a second": f"{run.seconds / 60:.1f}, {run.plan.count / run.seconds:.1f}",
        "from the end of the Job to the final state, median, p99": f"{median(latencies):.2f} s, {latencies[98]:.2f} s",
        "the controller's memory, at the peak": f"{peak:.0f} MiB",
        "the controller's CPU, a transcription": f"{1_000 * last.cpu_seconds / run.plan.count:.1f} ms",
    }


def render_plot(moments: Sequence[Moment]) -> str:
    """Three panels under each other, with the time in minutes below all."""
    panels: list[tuple[str, Callable[[int], float]]] = [
        ("memory of the controller, MiB", lambda n: moments[n].mib),
        ("CPU of the controller, % of a core", lambda n: _load(moments, n)),
        ("waiting, without a Job", lambda n: moments[n].created - moments[n].at_work - moments[n].ended),
        ("ended", lambda n: moments[n].ended),
    ]
    times = [moment.seconds / 60 for moment in moments]
    parts = [
        _render_panel(title, times, [value(n) for n in range(len(moments))], TOP + number * (HEIGHT + GAP))
        for number, (title, value) in enumerate(panels)
    ]
    bottom = TOP + len(panels) * (HEIGHT + GAP)
    ticks = "".join(
        f'<text x="{LEFT + WIDTH * step / STEPS:.0f}" y="{bottom - GAP + 18}" text-anchor="middle">'
        f"{times[-1] * step / STEPS:.1f} min</text>"
        for step in range(STEPS + 1)
    )
    size = f'viewBox="0 0 {LEFT + WIDTH + 50} {bottom}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>'
    return f'{head}<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}{ticks}</svg>\n'


def _load(moments: Sequence[Moment], number: int) -> float:
    """Over ten looks, in percent."""
    before, now = moments[max(0, number - 10)], moments[number]
    return 100 * (now.cpu_seconds - before.cpu_seconds) / max(now.seconds - before.seconds, 1e-9)


def _render_panel(title: str, times: Sequence[float], values: Sequence[float], top: float) -> str:
    highest = max(*values, 1.0)
    points = " ".join(
        f"{LEFT + WIDTH * time / times[-1]:.1f},{top + HEIGHT * (1 - value / highest):.1f}"
        for time, value in zip(times, values, strict=True)
    )
    return (
        f'<text x="{LEFT}" y="{top - 8}">{title}</text>'
        f'<text x="{LEFT - 8}" y="{top + 10}" text-anchor="end">{highest:,.0f}</text>'
        f'<text x="{LEFT - 8}" y="{top + HEIGHT}" text-anchor="end">0</text>'
        f'<path class="axis" d="M{LEFT} {top}V{top + HEIGHT}H{LEFT + WIDTH}"/>'
        f'<polyline class="line" points="{points}"/>'
    )
