"""What the dashboard's panels show: their queries, asked as Grafana's data source asks. Called by `__main__`."""

import json
import re
import string
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

DRAWN = {"row", "stat", "timeseries"}
SCRAPE_SECONDS = 15
"""The data source's scrape interval: Grafana's default, and the chart's."""
STEPS = (15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600)
COLUMN_PIXELS = 66
LABEL_VALUES = re.compile(r"label_values\((.+), *(\w+)\)")

Panel = dict[str, Any]


class PictureError(Exception):
    """The picture cannot be drawn; the message says why."""


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus, and the time that the picture shows."""

    url: str
    start: int
    end: int

    def ask(self, path: str, **parameters: Any) -> Any:
        """Ask its API about the time shown; an answer that is an error is an error here."""
        words = urllib.parse.urlencode({"start": self.start, "end": self.end, **parameters})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{words}", timeout=60) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise PictureError(message_of(error)) from error
        except (OSError, ValueError, KeyError) as error:
            raise PictureError(f"no Prometheus answers at {self.url}: {error}") from error


def message_of(error: urllib.error.HTTPError) -> str:
    """What Prometheus says is wrong, or the status when it says nothing."""
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError):
        return f"{error.url} answers {error.code}"


def picture_of(dashboard: dict[str, Any], prometheus: Prometheus) -> dict[str, Any]:
    """All that the page draws: the dashboard, the values of its variables, the answers to its queries by panel."""
    panels = dashboard["panels"]
    if strange := [f"{panel['title']} ({panel['type']})" for panel in panels if panel["type"] not in DRAWN]:
        raise PictureError(f"only {', '.join(sorted(DRAWN))} can be drawn, not {', '.join(strange)}")
    values = {variable["name"]: value_of(variable, prometheus) for variable in dashboard["templating"]["list"]}
    answers = {panel["id"]: answers_of(panel, values, prometheus) for panel in panels if panel["type"] != "row"}
    return {
        "dashboard": dashboard,
        "variables": values,
        "from": prometheus.start * 1000,
        "to": prometheus.end * 1000,
        "answers": answers,
    }


def value_of(variable: dict[str, Any], prometheus: Prometheus) -> str:
    """What Grafana would choose first for a variable."""
    if variable["type"] == "datasource":
        return "Prometheus"
    query = variable["query"]["query"]
    found = LABEL_VALUES.fullmatch(query)
    if not found:
        raise PictureError(f"variable {variable['name']}: only label_values can be asked for, not {query}")
    series, label = found.groups()
    values = prometheus.ask(f"label/{label}/values", **{"match[]": series})
    if not values:
        raise PictureError(f"variable {variable['name']}: {prometheus.url} has nothing for {query} in this time")
    return str(min(values))


def answers_of(panel: Panel, values: dict[str, str], prometheus: Prometheus) -> list[dict[str, Any]]:
    """The series of each query of a panel, in steps of a width that the panel can show."""
    step = step_of(panel, prometheus)
    rate = max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)
    known = {**values, "__interval": f"{step}s", "__rate_interval": f"{rate}s"}
    aligned = {"start": prometheus.start // step * step, "end": prometheus.end // step * step, "step": step}
    answers = []
    for target in panel["targets"]:
        query = string.Template(target["expr"]).safe_substitute(known)
        try:
            series = prometheus.ask("query_range", query=query, **aligned)["result"]
        except PictureError as error:
            raise PictureError(f"panel {panel['title']}, query {target['refId']}: {error}\n{query}") from error
        answers.append({**target, "step": step, "series": series})
    return answers


def step_of(panel: Panel, prometheus: Prometheus) -> int:
    """The first round step that gives no more points than the panel has pixels."""
    pixels = panel["gridPos"]["w"] * COLUMN_PIXELS
    return next(step for step in STEPS if step * pixels >= prometheus.end - prometheus.start)
