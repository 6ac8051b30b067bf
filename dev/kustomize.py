"""The kustomize base: the chart as Helm renders it with its default values. Called by the command and by a test."""

from pathlib import Path

from dev import binaries, process, state

HEAD = "# Made by `python3 -m dev kustomize` from charts/transcription; do not edit.\n"
NAME = "transcription"


def target() -> Path:
    """Where the base lies."""
    return state.checkout() / "deploy/kustomize/base/transcription.yaml"


def render(helm: Path, chart: Path) -> str:
    """All objects of an install, without the pod of `helm test`."""
    words = ("template", NAME, chart, "--namespace", NAME, "--skip-tests")
    return f"{HEAD}{process.output(helm, *words)}\n"


def write() -> None:
    """Write the base anew."""
    text = render(binaries.path(binaries.HELM), state.checkout() / "charts/transcription")
    target().write_text(text)
