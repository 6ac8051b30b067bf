"""Everything that the chart makes, as the cluster's own API server takes it: validated, admitted and not kept."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.chart_values import MATRIX, build_worker_job
from tests.support.helm import RESTRICTED
from tests.support.kubectl import Kubectl, Manifest
from tests.support.namespaces import open_namespace
from tests.support.speech import ROOT

APART = ("--set", "crds.enabled=false", "--set", "api.service.nodePort=null")
"""The definition and the port are the dev release's."""


@pytest.fixture(scope="module")
def place(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace that takes restricted pods alone."""
    with open_namespace(kubectl, "dry", RESTRICTED) as own:
        yield own


@pytest.fixture(params=list(MATRIX))
def objects(request: pytest.FixtureRequest, place: Kubectl) -> list[Manifest]:
    """What an install in that namespace would make, beside the dev release."""
    words = ["template", "dry", "charts/transcription", "--namespace", place.namespace, *APART]
    files = [f"--values={path}" for path in MATRIX[request.param]]
    helm = [str(ROOT / ".dev/bin/helm"), *words, *files]
    text = subprocess.run(helm, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # a helper object of the values file lies where that file says, and no Prometheus operator is here
    left_out = {"ConfigMap", "PodMonitor", "PrometheusRule"}
    return [found for found in yaml.safe_load_all(text) if found and found["kind"] not in left_out]


def dry_run(place: Kubectl, objects: list[Manifest]) -> str:
    """What the API server says to all of them; fails when it refuses one."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    words = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-")
    return place.run(*words, stdin=listed)


def as_pod(name: str, template: Manifest) -> Manifest:
    """A pod of the template; the account is the namespace's own, since that of the release is never made."""
    metadata = template["metadata"] | {"name": name}
    spec = template["spec"] | {"serviceAccountName": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": without_classes(spec)}


def without_classes(spec: dict[str, Any]) -> dict[str, Any]:
    """Without classes that this cluster does not have."""
    return {key: value for key, value in spec.items() if key not in {"priorityClassName", "runtimeClassName"}}


def test_the_api_server_takes_every_object_of_the_chart(place: Kubectl, objects: list[Manifest]) -> None:
    # a pod is refused while its account is not there
    objects = [as_pod(o["metadata"]["name"], o) if o["kind"] == "Pod" else o for o in objects]
    said = dry_run(place, objects).splitlines()
    assert len(said) == len(objects)
    assert all(line.endswith("serverside-applied (server dry run)") for line in said)


def test_a_namespace_for_restricted_pods_alone_takes_each_of_ours(place: Kubectl, objects: list[Manifest]) -> None:
    templates = {o["metadata"]["name"]: o["spec"]["template"] for o in objects if o["kind"] in {"Deployment", "Job"}}
    pods = [as_pod(name, template) for name, template in templates.items()]
    pods += [as_pod(o["metadata"]["name"], o) for o in objects if o["kind"] == "Pod"]
    pods.append(as_pod("dry-worker", build_worker_job(objects)["spec"]["template"]))
    assert len(dry_run(place, pods).splitlines()) == len(pods) >= 4


def test_such_a_namespace_refuses_a_pod_that_reads_a_folder_of_its_node(place: Kubectl) -> None:
    volume = {"name": "models", "hostPath": {"path": "/srv"}}
    pod = as_pod("bare", {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "c"}], "volumes": [volume]}})
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        dry_run(place, [pod])
