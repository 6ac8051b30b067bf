"""kube-score and checkov, run on what the chart makes."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from chart_rendering import Manifest

from tests.support.chart_values import ROOT

GOOD_GRADE = 10


@dataclass(frozen=True)
class Finding:
    """What a linter does not like: which check, and on what, as `<set of values>/<kind>/<name>`."""

    check: str
    where: str


@dataclass(frozen=True)
class Skip:
    """A check that does not count on some objects, and why."""

    check: str
    where: str
    why: str

    def covers(self, finding: Finding) -> bool:
        return self.check == finding.check and re.fullmatch(self.where, finding.where) is not None


def find_linter(name: str) -> Path:
    """The linter of this checkout, or the one on PATH."""
    found = shutil.which(name, path=f"{ROOT / '.dev/bin'}") or shutil.which(name)
    assert found, f"{name} is missing: run make test, or put {name} on PATH"
    return Path(found)


def write_manifests(folder: Path, name: str, objects: Iterable[Manifest]) -> Path:
    """A file of them, as `helm template` prints it."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.dump_all(objects, Dumper=yaml.CSafeDumper))
    return path


def run_kube_score(path: Path, kubernetes: str) -> list[Finding]:
    """What it holds against the objects of one file; warnings count too."""
    words = [find_linter("kube-score"), "score", f"--kubernetes-version={kubernetes}", "--output-format=json", path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return [
        Finding(check["check"]["id"], f"{path.stem}/{scored['type_meta']['kind']}/{scored['object_meta']['name']}")
        for scored in json.loads(done.stdout)
        for check in scored["checks"]
        if not check["skipped"] and check["grade"] < GOOD_GRADE
    ]


def run_checkov(folder: Path) -> list[Finding]:
    """What it holds against the objects of all files; it starts slowly, so it runs once."""
    words = [find_linter("checkov"), "--framework=kubernetes", "--skip-download", "--soft-fail", "--output=json"]
    environment = os.environ | {"CKV_SKIP_PACKAGE_UPDATE_CHECK": "true"}
    done = subprocess.run([*words, "--directory", folder], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    return [as_finding(failed) for failed in report["results"]["failed_checks"]]


def as_finding(failed: dict[str, Any]) -> Finding:
    kind, _, name = failed["resource"].split(".", 2)
    return Finding(failed["check_id"], f"{Path(failed['file_path']).stem}/{kind}/{name}")
