from typing import Any

import pytest
import yaml
from chart_rendering import CHART, NAMESPACE, RELEASE, Chart, Manifest

from tests.support.chart_values import ROOT

CLUSTER_KINDS = {
    "ClusterRole",
    "CustomResourceDefinition",
    "FlowSchema",
    "PriorityLevelConfiguration",
    "PriorityClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
RIGHTS = {
    "scribe-api": {("transcriptionjobs", "create delete get list patch watch")},
    "scribe-controller": {
        ("transcriptionjobs", "delete get list patch watch"),
        ("transcriptionjobs/status", "patch"),
        ("transcriptionjobs/finalizers", "update"),
        ("jobs", "create delete get list patch watch"),
        ("pods", "list"),
        ("leases", "get update"),
        ("leases", "create"),
        ("events", "list"),
        ("events", "create"),
    },
    "scribe-worker": {("transcriptionjobs/status", "patch")},
}


def of_kind(objects: list[Manifest], kind: str) -> list[Manifest]:
    return [found for found in objects if found["kind"] == kind]


def pod_specs(objects: list[Manifest]) -> list[dict[str, Any]]:
    return [deployment["spec"]["template"]["spec"] for deployment in of_kind(objects, "Deployment")]


def test_every_part_is_there_with_any_values(rendered: list[Manifest]) -> None:
    assert sorted(found["metadata"]["name"] for found in of_kind(rendered, "Deployment")) == [
        "scribe-api",
        "scribe-controller",
    ]
    wanted = CLUSTER_KINDS | {"Deployment", "NetworkPolicy", "Pod", "Role", "RoleBinding", "Service", "ServiceAccount"}
    assert wanted <= {found["kind"] for found in rendered}


def test_every_object_is_in_the_namespace_of_the_release(drawn: list[Manifest]) -> None:
    for found in drawn:
        wanted = None if found["kind"] in CLUSTER_KINDS else NAMESPACE
        assert found["metadata"].get("namespace") == wanted, found["metadata"]["name"]


def read_chart_version() -> str:
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def test_every_object_and_pod_says_what_it_is_and_who_manages_it(drawn: list[Manifest]) -> None:
    own = [found for found in drawn if found["metadata"]["name"] != "scribe-more"]
    templates = [found["spec"]["template"] for found in own if "template" in found.get("spec", {})]
    assert len(templates) == len(of_kind(own, "Deployment")) + len(of_kind(own, "Job"))
    for found in own + templates:
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        names = {label.partition("/")[2] for label in labels if label.startswith("app.kubernetes.io/")}
        assert names == {"name", "instance", "component", "part-of", "version", "managed-by"}
        assert labels["helm.sh/chart"] == f"transcription-{read_chart_version()}"


def test_services_and_deployments_select_their_own_pods(rendered: list[Manifest]) -> None:
    (service,) = of_kind(rendered, "Service")
    for deployment in of_kind(rendered, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"].items()
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
        is_api = deployment["metadata"]["name"] == "scribe-api"
        assert (service["spec"]["selector"].items() <= labels) == is_api


def test_every_pod_is_restricted(rendered: list[Manifest]) -> None:
    for pod in pod_specs(rendered):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        kinds = {"name", "emptyDir", "secret", "configMap", "projected"}
        assert all(set(volume) < kinds for volume in pod["volumes"])


def test_every_container_is_restricted_and_bounded(rendered: list[Manifest]) -> None:
    for container in [container for pod in pod_specs(rendered) for container in pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert set(container["resources"]["requests"]) - {"ephemeral-storage"} == {"cpu", "memory"}
        assert "cpu" not in container["resources"]["limits"]
        assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container)


def test_probes_go_to_ports_that_are_open(rendered: list[Manifest]) -> None:
    for container in [container for pod in pod_specs(rendered) for container in pod["containers"]]:
        ports = {port["name"] for port in container["ports"]}
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            assert container[probe]["httpGet"]["port"] in ports


def test_only_pods_that_need_a_token_get_one(rendered: list[Manifest]) -> None:
    assert all(account["automountServiceAccountToken"] is False for account in of_kind(rendered, "ServiceAccount"))
    for pod in pod_specs(rendered):
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        (token,) = [mount for mount in container["volumeMounts"] if mount["name"] == "token"]
        assert token == {
            "name": "token",
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            "readOnly": True,
        }
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "token"]
        kinds = {kind for source in volume["projected"]["sources"] for kind in source}
        assert kinds == {"serviceAccountToken", "configMap", "downwardAPI"}


def test_each_account_has_just_the_rights_that_its_program_uses(rendered: list[Manifest]) -> None:
    found = {
        role["metadata"]["name"]: {
            (resource, " ".join(sorted(rule["verbs"]))) for rule in role["rules"] for resource in rule["resources"]
        }
        for role in of_kind(rendered, "Role")
    }
    assert found == RIGHTS


def test_the_controller_may_change_its_own_lease_alone(rendered: list[Manifest]) -> None:
    (role,) = [found for found in of_kind(rendered, "Role") if found["metadata"]["name"] == "scribe-controller"]
    rules = [rule for rule in role["rules"] if rule["resources"] == ["leases"]]
    names = {" ".join(rule["verbs"]): rule.get("resourceNames") for rule in rules}
    assert names == {"get update": ["scribe-controller"], "create": None}
    (pod,) = [pod for pod in pod_specs(rendered) if pod["containers"][0]["name"] == "controller"]
    given = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    assert given["CONTROLLER_LEASE_NAME"] == "scribe-controller"


def test_a_second_controller_stands_by_on_another_node_if_there_is_one(chart: Chart) -> None:
    (deployment,) = [
        found for found in of_kind(chart.render(), "Deployment") if found["metadata"]["name"] == "scribe-controller"
    ]
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    affinity = deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    ((preferred,), *required) = affinity.values()
    assert required == []
    assert preferred["podAffinityTerm"]["labelSelector"] == deployment["spec"]["selector"]


def test_each_role_is_bound_to_the_account_of_its_part(rendered: list[Manifest]) -> None:
    for binding in of_kind(rendered, "RoleBinding"):
        (subject,) = binding["subjects"]
        assert binding["roleRef"]["name"] == binding["metadata"]["name"]
        assert subject["name"] in {binding["metadata"]["name"], "courier"}
        assert subject["namespace"] == NAMESPACE
    assert {binding["metadata"]["name"] for binding in of_kind(rendered, "RoleBinding")} == set(RIGHTS)


def test_the_admission_policy_fails_closed_for_this_release_alone(rendered: list[Manifest]) -> None:
    (policy,) = of_kind(rendered, "ValidatingAdmissionPolicy")
    (binding,) = of_kind(rendered, "ValidatingAdmissionPolicyBinding")
    account = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-worker"
    assert policy["metadata"]["name"] == f"{NAMESPACE}.{RELEASE}.worker" == binding["spec"]["policyName"]
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert [c["expression"] for c in policy["spec"]["matchConditions"]] == [f"request.userInfo.username == '{account}'"]
    assert binding["spec"]["validationActions"] == ["Deny"]
    selector = binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"]
    assert selector == {"kubernetes.io/metadata.name": NAMESPACE}


def test_the_chart_brings_the_resource_definition_of_crds() -> None:
    original, copy = ROOT / "crds/transcriptionjobs.yaml", CHART / "files/transcriptionjobs.yaml"
    assert copy.read_bytes() == original.read_bytes(), f"cp {original.relative_to(ROOT)} {copy.relative_to(ROOT)}"


def test_the_resource_definition_is_rendered_whole_and_kept(rendered: list[Manifest]) -> None:
    (crd,) = of_kind(rendered, "CustomResourceDefinition")
    original = yaml.load((ROOT / "crds/transcriptionjobs.yaml").read_text(), yaml.CSafeLoader)
    assert crd["spec"] == original["spec"]
    assert crd["metadata"]["name"] == original["metadata"]["name"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_resource_definition_is_left_out_when_it_is_switched_off(chart: Chart) -> None:
    done = chart.run("template", RELEASE, CHART, "--set", "crds.enabled=false")
    assert done.returncode == 0, done.stderr
    assert "CustomResourceDefinition" not in done.stdout


def test_an_image_is_pinned_when_a_digest_is_given(full: list[Manifest]) -> None:
    images = {pod["containers"][0]["name"]: pod["containers"][0]["image"] for pod in pod_specs(full)}
    assert images == {
        "api": "mirror.example.org/transcription-api@sha256:" + "0123456789abcdef" * 4,
        "controller": "mirror.example.org/transcription-controller:0.1.0",
    }


def priority_classes(chart: Chart, release: str, *settings: str) -> dict[str, Manifest]:
    words = [word for setting in settings for word in ("--set", setting)]
    done = chart.run("template", release, CHART, *words)
    assert done.returncode == 0, done.stderr
    objects = [found for found in yaml.load_all(done.stdout, yaml.CSafeLoader) if found]
    return {found["metadata"]["name"]: found for found in of_kind(objects, "PriorityClass")}


def test_priority_classes_are_named_by_namespace_and_release(chart: Chart) -> None:
    classes = priority_classes(chart, RELEASE)
    assert {name: found["value"] for name, found in classes.items()} == {
        f"{NAMESPACE}.{RELEASE}.low": -100,
        f"{NAMESPACE}.{RELEASE}.high": 100,
    }


def test_no_class_evicts_others_unless_that_is_asked_for(chart: Chart) -> None:
    assert {found["preemptionPolicy"] for found in priority_classes(chart, RELEASE).values()} == {"Never"}
    asked = priority_classes(chart, RELEASE, "priorityClasses.high.preempts=true")
    assert {name.rpartition(".")[2]: found["preemptionPolicy"] for name, found in asked.items()} == {
        "low": "Never",
        "high": "PreemptLowerPriority",
    }


def test_priority_classes_fit_into_a_resource_when_the_release_has_a_long_name(chart: Chart) -> None:
    one, other = (priority_classes(chart, letter * 53) for letter in "rs")
    assert all(len(name) <= 63 for name in {*one, *other})
    assert len({*one, *other}) == 4


def test_the_api_has_room_on_its_disk_for_four_uploads(rendered: list[Manifest]) -> None:
    (pod,) = [pod for pod in pod_specs(rendered) if pod["containers"][0]["name"] == "api"]
    (container,) = pod["containers"]
    audio = next(int(e["value"]) for e in container["env"] if e["name"] == "API_MAX_AUDIO_BYTES")
    size = next(volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"] if volume["name"] == "tmp")
    assert 4 * audio < size == container["resources"]["requests"]["ephemeral-storage"]
    assert size < container["resources"]["limits"]["ephemeral-storage"]


def test_keys_are_mounted_as_a_folder_when_there_are_any(chart: Chart, full: list[Manifest]) -> None:
    (pod,) = [pod for pod in pod_specs(full) if pod["containers"][0]["name"] == "api"]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "keys"]
    (file,) = [e["value"] for e in pod["containers"][0]["env"] if e["name"] == "API_KEYS_FILE"]
    (volume,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "keys"]
    assert "subPath" not in mount, "such a file never changes"
    assert file == f"{mount['mountPath']}/{volume['items'][0]['path']}"
    assert all(volume["name"] != "keys" for pod in pod_specs(chart.render()) for volume in pod["volumes"])


@pytest.mark.parametrize("wrong", ["nodePort", "clusterIP"])
def test_the_service_leaves_to_kubernetes_what_is_not_given(chart: Chart, wrong: str) -> None:
    (service,) = of_kind(chart.render(), "Service")
    assert wrong not in service["spec"]
    assert wrong not in service["spec"]["ports"][0]
