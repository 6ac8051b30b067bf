"""Helm, run on the chart of this checkout."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.chart_values import ROOT
from tests.support.helm import CHART

NAMESPACE, RELEASE = "media", "scribe"

Manifest = dict[str, Any]


def find_helm() -> Path:
    """The helm of the dev cluster, or the one on PATH."""
    found = shutil.which("helm", path=f"{ROOT / '.dev/bin'}") or shutil.which("helm")
    assert found, "helm is missing: run make up, or put helm on PATH"
    return Path(found)


@dataclass(frozen=True)
class Chart:
    helm: Path

    namespace: str = NAMESPACE
    release: str = RELEASE

    def run(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [self.helm, *words, "--namespace", self.namespace]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    @cache  # noqa: B019  # one chart for the session
    def render(self, *values: Path) -> list[Manifest]:
        """Every object that an install would make."""
        files = [word for path in values for word in ("--values", path)]
        done = self.run("template", self.release, CHART, *files)
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.load_all(done.stdout, yaml.CSafeLoader) if manifest]

    def refuse(self, *settings: str) -> str:
        """What Helm says against these values; fails when it takes them."""
        words = [word for setting in settings for word in ("--set", setting)]
        done = self.run("template", RELEASE, CHART, *words)
        assert done.returncode != 0, "helm took the values"
        return done.stderr

    @cache  # noqa: B019  # the same
    def notes(self, *settings: str) -> str:
        """What the installer reads."""
        words = [word for setting in settings for word in ("--set", setting)]
        done = self.run("install", RELEASE, CHART, "--dry-run=client", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("NOTES:\n")[2]


@dataclass(frozen=True)
class Row:
    """One value: its path, its default as YAML, and what is said about it."""

    path: str
    default: str
    text: str

    def __str__(self) -> str:
        return f"| `{self.path}` | `{self.default}` | {self.text} |"


@cache
def read_values() -> Manifest:
    """The chart's defaults."""
    values: Manifest = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def read_rows() -> list[Row]:
    """The values that carry a `# --` comment, behind them or on the line before, in their order."""
    return list(_scan((CHART / "values.yaml").read_text().splitlines()))


def leaf_paths(values: Manifest, documented: set[str], prefix: str = "") -> Iterator[str]:
    """The paths of all values; one that is documented as a whole counts as one."""
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and path not in documented:
            yield from leaf_paths(value, documented, f"{path}.")
        else:
            yield path


def _scan(lines: list[str]) -> Iterator[Row]:
    parents: list[tuple[int, str]] = []
    before = ""
    for line in lines:
        if comment := re.fullmatch(r" *# -- (.+)", line):
            before = comment[1]
        elif entry := re.fullmatch(r"( *)([A-Za-z0-9]+):(.*?)(?:  # -- (.+))?", line):
            indent = len(entry[1])
            parents = [parent for parent in parents if parent[0] < indent] + [(indent, entry[2])]
            if text := entry[4] or before:
                path = ".".join(name for _, name in parents)
                yield Row(path, entry[3].strip() or _find_default(path), text)
            before = ""


def _find_default(path: str) -> str:
    value: Any = read_values()
    for key in path.split("."):
        value = value[key]
    return yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
