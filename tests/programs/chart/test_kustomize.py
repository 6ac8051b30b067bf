"""The kustomize base is the chart, and an overlay changes what it says."""

import shutil
import subprocess
from typing import Any

import pytest
import yaml
from chart_rendering import CHART, Manifest, find_helm

from dev import kustomize
from tests.support.chart_values import ROOT

FOLDER = ROOT / "deploy/kustomize"


def find_kubectl() -> str:
    found = shutil.which("kubectl", path=f"{ROOT / '.dev/bin'}") or shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is missing: make up builds it")
    return found


def load(text: str) -> dict[tuple[str, str], Manifest]:
    objects = [found for found in yaml.load_all(text, yaml.CSafeLoader) if found]
    return {(found["kind"], found["metadata"]["name"]): found for found in objects}


def build(name: str) -> dict[tuple[str, str], Manifest]:
    done = subprocess.run([find_kubectl(), "kustomize", FOLDER / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return load(done.stdout)


def unfolded(value: Any) -> Any:
    """With all white space alike: kustomize breaks folded lines anew, which CEL does not mind."""
    if isinstance(value, dict):
        return {key: unfolded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [unfolded(part) for part in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def container_of(objects: dict[tuple[str, str], Manifest], part: str) -> Manifest:
    spec = objects["Deployment", f"transcription-{part}"]["spec"]["template"]["spec"]
    container: Manifest = spec["containers"][0]
    return container


def test_the_base_is_current() -> None:
    made = kustomize.render(find_helm(), CHART)
    assert kustomize.target().read_text() == made, "python3 -m dev kustomize"


def test_kustomize_makes_of_the_base_what_helm_makes_of_the_chart() -> None:
    assert unfolded(build("base")) == unfolded(load(kustomize.target().read_text()))


def test_an_overlay_sets_images_and_s3() -> None:
    objects = build("example")
    assert set(objects) == set(build("base"))
    for part in ("api", "controller"):
        container = container_of(objects, part)
        env = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert container["image"] == f"registry.example.org/transcription-{part}:0.1.0"
        assert env[f"{part.upper()}_S3_ENDPOINT"] == "http://s3.example.org:9000"
        assert env[f"{part.upper()}_S3_PATH_STYLE"] == "true"
        assert container["envFrom"] == [{"secretRef": {"name": f"s3-{part}"}}]
    env = {entry["name"]: entry.get("value") for entry in container_of(objects, "controller")["env"]}
    assert env["CONTROLLER_WORKER_IMAGE"] == "registry.example.org/transcription-worker:0.1.0"
