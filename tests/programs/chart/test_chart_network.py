"""What may be reached by whom, and what a drained node or a busy API server means for the release."""

from typing import Any

import pytest
from chart_rendering import Chart, Manifest
from test_chart_pods import find, pod_of, read_worker, render

from tests.support.chart_values import FULL_VALUES

PARTS = ("api", "controller", "worker")
EVERY_PART = pytest.mark.parametrize("part", PARTS)


def spec_of(objects: list[Manifest], part: str) -> dict[str, Any]:
    spec: dict[str, Any] = find(objects, "NetworkPolicy", f"scribe-{part}")["spec"]
    return spec


def labels_of(objects: list[Manifest], part: str) -> dict[str, str]:
    if part == "worker":
        return read_worker(objects)["labels"] | {"app.kubernetes.io/name": "transcription-worker"}
    labels: dict[str, str] = pod_of(objects, part)["metadata"]["labels"]
    return labels


def open_ports(spec: dict[str, Any]) -> set[int]:
    """Where its pods may call anywhere but at blocked addresses."""
    rules = [rule for rule in spec["egress"] if any("ipBlock" in peer for peer in rule.get("to", []))]
    return {port["port"] for rule in rules for port in rule.get("ports", [])}


@EVERY_PART
def test_each_policy_selects_the_pods_of_its_part_alone(rendered: list[Manifest], part: str) -> None:
    wanted = spec_of(rendered, part)["podSelector"]["matchLabels"].items()
    assert [other for other in PARTS if wanted <= labels_of(rendered, other).items()] == [part]


@EVERY_PART
def test_both_directions_are_closed_but_for_what_is_named(rendered: list[Manifest], part: str) -> None:
    spec = spec_of(rendered, part)
    ports = [[port["port"] for port in rule["ports"]] for rule in spec["ingress"]]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert ports == {"api": [["http"]], "controller": [["metrics"]], "worker": []}[part]


@EVERY_PART
def test_the_metadata_of_the_cloud_is_out_of_reach(chart: Chart, part: str) -> None:
    rules = spec_of(chart.render(), part)["egress"]
    blocks = [peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]
    four, six = ({"0.0.0.0/0": ["169.254.169.254/32"]}, {"::/0": ["fd00:ec2::254/128"]})
    assert {block["cidr"]: block["except"] for block in blocks} == four | six
    assert all(rule["to"] for rule in rules), "a rule without peers is open to the metadata too"


def test_each_part_reaches_what_it_calls_and_no_more(chart: Chart) -> None:
    settings = ("s3.endpoint=http://s3.media.svc:9000", "callback.url=https://hooks.example.org:8443/done")
    objects = render(chart, *settings, "networkPolicy.apiServerPorts={6443}")
    assert open_ports(spec_of(objects, "api")) == {53, 443, 6443, 9000}
    for part in ("controller", "worker"):
        assert open_ports(spec_of(objects, part)) == {53, 80, 443, 6443, 8443, 9000}


@pytest.mark.parametrize(
    ("endpoint", "port"), [("http://s3", 80), ("https://s3/", 443), ("http://[fd00::1]:9000", 9000), ("", 443)]
)
def test_the_port_of_s3_is_open_when_it_is_the_usual_one(chart: Chart, endpoint: str, port: int) -> None:
    objects = render(chart, f"s3.endpoint={endpoint}", "networkPolicy.apiServerPorts={6443}")
    assert open_ports(spec_of(objects, "api")) == {53, 443, 6443, port}


@pytest.mark.parametrize("part", ["controller", "worker"])
def test_callbacks_reach_the_api_and_allowed_hosts_on_any_port(full: list[Manifest], part: str) -> None:
    rules = spec_of(full, part)["egress"]
    (own,) = [rule for rule in rules if any("podSelector" in peer for peer in rule.get("to", []))]
    (container,) = pod_of(full, "api")["spec"]["containers"]
    assert own["ports"] == [{"protocol": "TCP", "port": container["ports"][0]["containerPort"]}]
    assert own["to"][0]["podSelector"]["matchLabels"].items() <= labels_of(full, "api").items()
    (allowed,) = [rule for rule in rules if "ports" not in rule]
    cidrs = [peer["ipBlock"]["cidr"] for peer in allowed["to"] if "ipBlock" in peer]
    assert cidrs == ["10.1.0.0/16", "fd00::/8"]
    assert {"namespaceSelector": {}} in allowed["to"], "hooks.team.svc is a pod somewhere"


def test_a_single_allowed_address_is_a_network_of_one(chart: Chart) -> None:
    objects = render(chart, "callback.allowedHosts={10.0.0.7,fd00::7}")
    (allowed,) = [rule for rule in spec_of(objects, "worker")["egress"] if "ports" not in rule]
    assert [peer["ipBlock"]["cidr"] for peer in allowed["to"]] == ["10.0.0.7/32", "fd00::7/128"]


@EVERY_PART
def test_more_rules_are_added_when_an_installation_has_some(full: list[Manifest], part: str) -> None:
    assert spec_of(full, part)["egress"][-1] == {"ports": [{"port": 5353, "protocol": "UDP"}]}


def test_no_policy_is_made_when_they_are_switched_off(chart: Chart) -> None:
    kinds = {found["kind"] for found in render(chart, "networkPolicy.enabled=false", "flowControl.enabled=false")}
    assert not kinds & {"NetworkPolicy", "FlowSchema", "PriorityLevelConfiguration"}


def test_a_drain_takes_one_pod_after_the_other_when_there_are_several(chart: Chart) -> None:
    objects = chart.render(FULL_VALUES)
    for part in ("api", "controller"):
        spec = find(objects, "PodDisruptionBudget", f"scribe-{part}")["spec"]
        assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
        assert "minAvailable" not in spec
        assert spec["selector"] == find(objects, "Deployment", f"scribe-{part}")["spec"]["selector"]


def test_no_budget_stands_in_the_way_of_a_single_pod(chart: Chart) -> None:
    objects = render(chart, "api.replicas=1", "controller.replicas=0")
    assert not [found for found in objects if found["kind"] == "PodDisruptionBudget"]


def test_what_workers_report_has_a_line_of_its_own(rendered: list[Manifest]) -> None:
    name = "media.scribe.worker"
    schema = find(rendered, "FlowSchema", name)["spec"]
    level = find(rendered, "PriorityLevelConfiguration", name)["spec"]
    assert schema["priorityLevelConfiguration"] == {"name": name}
    assert schema["matchingPrecedence"] < 9000, "the cluster's own for service accounts comes first otherwise"
    ((rule),) = schema["rules"]
    assert rule["subjects"][0]["serviceAccount"] == {"name": "scribe-worker", "namespace": "media"}
    ((resource),) = rule["resourceRules"]
    assert (resource["resources"], resource["verbs"]) == (["transcriptionjobs/status"], ["patch"])
    assert level["limited"]["limitResponse"]["type"] == "Queue"


def test_the_self_test_reaches_what_it_tries_and_is_reached_by_nobody(rendered: list[Manifest]) -> None:
    spec = spec_of(rendered, "selftest")
    pod = find(rendered, "Pod", "scribe-selftest")
    assert spec["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert spec["ingress"] == []
    assert spec["egress"] == spec_of(rendered, "worker")["egress"]
