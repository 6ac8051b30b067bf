"""What the chart makes, and our examples, by the schemas of the cluster's own API server, as kubeconform reads them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import versions
from tests.support.chart_values import MATRIX, ROOT, build_worker_job
from tests.support.json_schemas import LOCATION, paths_of, write_defined, write_served
from tests.support.kubectl import Kubectl, Manifest

OF_PROMETHEUS = "monitoring.coreos.com/v1"
BIN = ROOT / ".dev/bin"


def render(name: str) -> list[Manifest]:
    """What an install with these values makes, and the Job that the controller then makes."""
    words = [BIN / "helm", "template", versions.RELEASE, "charts/transcription", f"--namespace={versions.NAMESPACE}"]
    files = [f"--values={path}" for path in MATRIX[name]]
    text = subprocess.run([*words, *files], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    objects = [found for found in yaml.load_all(text, yaml.CSafeLoader) if found]
    return [*objects, build_worker_job(objects)]


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Manifest]]:
    return {name: render(name) for name in MATRIX}


@pytest.fixture(scope="module")
def schemas(kubectl: Kubectl, rendered: dict[str, list[Manifest]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of those that the API server has; it has none of the Prometheus operator's, which lie in tests/data."""
    folder = tmp_path_factory.mktemp("schemas")
    for path in (ROOT / "tests/data/monitoring.coreos.com").iterdir():
        write_defined(json.loads(path.read_text()), folder)
    used = {found["apiVersion"] for objects in rendered.values() for found in objects}
    for path in paths_of({*used, "transcription.ecg.dev/v1alpha1"} - {OF_PROMETHEUS}).values():
        write_served(json.loads(kubectl.run("get", "--raw", path)), folder)
    return folder


def run_kubeconform(schemas: Path, objects: list[Manifest]) -> dict[str, Any]:
    """Its report on them."""
    words = [BIN / "kubeconform", "-strict", "-summary", "-output=json", f"-schema-location={schemas}/{LOCATION}"]
    done = subprocess.run(
        words, input=yaml.dump_all(objects, Dumper=yaml.CSafeDumper), capture_output=True, text=True, check=False
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("values", MATRIX)
def test_every_object_is_as_its_schema_says(schemas: Path, rendered: dict[str, list[Manifest]], values: str) -> None:
    report = run_kubeconform(schemas, rendered[values])
    assert report["resources"] == []
    assert report["summary"] == {"valid": len(rendered[values]), "invalid": 0, "errors": 0, "skipped": 0}


def test_the_example_is_as_our_own_schema_says(schemas: Path) -> None:
    examples = list(yaml.safe_load_all((ROOT / "examples/transcriptionjob.yaml").read_text()))
    assert run_kubeconform(schemas, examples)["summary"]["valid"] == len(examples) > 0


@pytest.mark.parametrize(
    ("kind", "place"), [("Deployment", ("spec", "template", "spec")), ("PodMonitor", ("spec",)), ("Service", ("spec",))]
)
def test_a_field_that_is_not_there_is_found(
    schemas: Path, rendered: dict[str, list[Manifest]], kind: str, place: tuple[str, ...]
) -> None:
    found = next(one for one in rendered["production"] if one["kind"] == kind)
    wrong = json.loads(json.dumps(found))
    inner = wrong
    for key in place:
        inner = inner[key]
    inner["mistyped"] = True
    report = run_kubeconform(schemas, [wrong])
    assert report["summary"]["invalid"] == 1
    assert "mistyped" in report["resources"][0]["msg"]
