"""The sets of values that the chart is tried with, and the Job that the controller makes by each of them."""

from pathlib import Path
from typing import Any

import pytest

from controller.job_builder import build_job
from controller.settings import ControllerSettings
from tests.support.controller_fakes import a_transcription
from tests.support.speech import ROOT

EXAMPLES = ROOT / "examples/values"
DEV_VALUES = ROOT / "dev/values.yaml"
FULL_VALUES = ROOT / "tests/programs/chart/every-value.yaml"
MATRIX: dict[str, tuple[Path, ...]] = {
    "no-values": (),
    "laptop": (EXAMPLES / "laptop.yaml",),
    "production": (EXAMPLES / "production.yaml",),
    "dev": (DEV_VALUES,),
    "every-value": (FULL_VALUES,),
}


def build_worker_job(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """The Job of a transcription, by the settings that the rendered controller would read."""
    (controller,) = [o for o in objects if o["kind"] == "Deployment" and o["metadata"]["name"].endswith("-controller")]
    with pytest.MonkeyPatch.context() as environment:
        for entry in controller["spec"]["template"]["spec"]["containers"][0]["env"]:
            if "value" in entry:
                environment.setenv(entry["name"], entry["value"])
        job = build_job(a_transcription(), 1, ControllerSettings())
    return job | {"metadata": job["metadata"] | {"namespace": controller["metadata"]["namespace"]}}
