"""What the chart says of Kubernetes' versions; tests/unit/test_versions.py holds the numbers together."""

import shutil
from pathlib import Path

import pytest
from chart_rendering import CHART, RELEASE, Chart

ANNOTATION = '"1.32, 1.35"'
SAID = "the newest that this chart is tested on"


def copy_for(newest: str, folder: Path) -> Path:
    """A copy of the chart that was tested on other versions."""
    copy = shutil.copytree(CHART, folder / "chart")
    text = (copy / "Chart.yaml").read_text()
    assert ANNOTATION in text
    (copy / "Chart.yaml").write_text(text.replace(ANNOTATION, f'"1.10, {newest}"'))
    return copy


@pytest.mark.parametrize(("newest", "is_said"), [("1.20", True), ("1.999", False)])
def test_the_notes_say_when_the_cluster_is_newer_than_what_was_tested(
    newest: str, is_said: bool, chart: Chart, tmp_path: Path
) -> None:
    done = chart.run("install", RELEASE, copy_for(newest, tmp_path), "--dry-run=client")
    assert done.returncode == 0, done.stderr
    assert (f"is newer than {newest}, {SAID}" in done.stdout) == is_said


@pytest.mark.parametrize(
    ("version", "is_taken"), [("1.31.14", False), ("1.32.0", True), ("1.32.0-eks.1", True), ("1.38.0", True)]
)
def test_only_kubernetes_older_than_the_oldest_is_refused(version: str, is_taken: bool, chart: Chart) -> None:
    done = chart.run("template", RELEASE, CHART, "--kube-version", version)
    assert (done.returncode == 0) == is_taken, done.stderr
    assert is_taken or "kubeVersion" in done.stderr
