"""The pod of `helm test`."""

import pytest
import yaml
from chart_rendering import CHART, RELEASE, Chart, Manifest

from api.selftest import Installation  # what runs in it
from api.settings import ApiSettings
from tests.support.api_fakes import SECRET


def pod_of(objects: list[Manifest]) -> Manifest:
    (pod,) = [found for found in objects if found["kind"] == "Pod"]
    return pod


def test_the_pod_is_a_test_that_no_service_and_no_deployment_selects(rendered: list[Manifest]) -> None:
    pod = pod_of(rendered)
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    labels = pod["metadata"]["labels"].items()
    for other in rendered:
        selector = other.get("spec", {}).get("selector") if other["kind"] in ("Service", "Deployment") else None
        if selector is not None:
            assert not selector.get("matchLabels", selector).items() <= labels


def test_the_pod_is_restricted_and_the_api(rendered: list[Manifest]) -> None:
    spec = pod_of(rendered)["spec"]
    (container,) = spec["containers"]
    assert spec["serviceAccountName"] == "scribe-api"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["command"][-1] == Installation.__module__
    (api,) = [o for o in rendered if o["kind"] == "Deployment" and o["metadata"]["name"] == "scribe-api"]
    assert container["image"] == api["spec"]["template"]["spec"]["containers"][0]["image"]


def test_the_settings_take_the_environment_of_the_pod(
    rendered: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry in pod_of(rendered)["spec"]["containers"][0]["env"]:
        monkeypatch.setenv(entry["name"], entry.get("value", SECRET))
    assert ApiSettings().namespace == "media"


def test_a_job_is_tried_when_that_is_asked_for(chart: Chart) -> None:
    done = chart.run("template", RELEASE, CHART, "--set", "selftest.job=true", "--set", "selftest.jobSeconds=90")
    spec = pod_of([found for found in yaml.load_all(done.stdout, yaml.CSafeLoader) if found])["spec"]
    assert "--job-seconds=90" in spec["containers"][0]["args"]
    assert spec["activeDeadlineSeconds"] == 150


def test_the_pod_trusts_whom_the_api_trusts(full: list[Manifest]) -> None:
    spec = pod_of(full)["spec"]
    assert {"trust", "token"} == {volume["name"] for volume in spec["volumes"]}
    assert {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}["AWS_CA_BUNDLE"]
