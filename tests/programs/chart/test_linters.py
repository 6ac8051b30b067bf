"""kube-score and checkov find nothing in what the chart makes, but for what has a reason, there or here."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from chart_rendering import Chart, Manifest, find_helm
from linters import Finding, Skip, run_checkov, run_kube_score, write_manifests

from dev import versions
from tests.support.chart_values import MATRIX, build_worker_job

WORKER = "the controller's: what it says of the chart's pods holds for it too"
OWN = "these values bring an affinity of their own, or ask for a port of the node"
KUBE_SCORE = [
    Skip("container-resources", ".*/Job/.*", WORKER),
    Skip("container-image-pull-policy", ".*/Job/.*", WORKER),
    Skip("deployment-has-host-podantiaffinity", "every-value/.*", OWN),
    Skip("service-type", "(dev|every-value)/.*", OWN),
]
"""Beside those that the chart says itself, in templates/_linters.tpl."""
CHECKOV = [Skip(f"CKV_K8S_{number}", ".*/Job/.*", WORKER) for number in (11, 15, 35, 43)]
BROKEN = "broken"


def left_of(findings: Iterable[Finding], skips: list[Skip]) -> list[Finding]:
    """What no skip covers."""
    return [finding for finding in findings if not any(skip.covers(finding) for skip in skips)]


def needless(findings: list[Finding], skips: list[Skip]) -> list[Skip]:
    """The skips that cover nothing any more."""
    return [skip for skip in skips if not any(skip.covers(finding) for finding in findings)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each set of values: what Helm makes of it, and the Job that the controller then makes."""
    chart = Chart(find_helm(), versions.NAMESPACE, versions.RELEASE)
    folder = tmp_path_factory.mktemp("manifests")
    for name, files in MATRIX.items():
        objects = chart.render(*files)
        write_manifests(folder, name, [*objects, build_worker_job(objects)])
    write_manifests(folder, BROKEN, break_pods(chart.render()))
    return folder


def break_pods(objects: list[Manifest]) -> Iterator[Manifest]:
    """The same without what protects the pods."""
    for found in objects:
        if found["kind"] == "Deployment":
            spec = found["spec"]["template"]["spec"] | {"securityContext": {}, "hostNetwork": True}
            yield found | {"spec": found["spec"] | {"template": {"spec": spec}}}


@pytest.fixture(scope="module")
def scored(folder: Path) -> dict[str, list[Finding]]:
    version = ".".join(versions.kubernetes().split(".")[:2])
    return {name: run_kube_score(folder / f"{name}.yaml", version) for name in (*MATRIX, BROKEN)}


@pytest.fixture(scope="module")
def checked(folder: Path) -> dict[str, list[Finding]]:
    found = run_checkov(folder)
    return {name: [one for one in found if one.where.startswith(f"{name}/")] for name in (*MATRIX, BROKEN)}


@pytest.mark.parametrize("values", MATRIX)
def test_kube_score_finds_nothing_without_a_reason(scored: dict[str, list[Finding]], values: str) -> None:
    assert left_of(scored[values], KUBE_SCORE) == []


@pytest.mark.parametrize("values", MATRIX)
def test_checkov_finds_nothing_without_a_reason(checked: dict[str, list[Finding]], values: str) -> None:
    assert left_of(checked[values], CHECKOV) == []


def test_every_skip_is_needed(scored: dict[str, list[Finding]], checked: dict[str, list[Finding]]) -> None:
    for found, skips in ((scored, KUBE_SCORE), (checked, CHECKOV)):
        assert needless([one for name in MATRIX for one in found[name]], skips) == []


def test_both_find_what_is_wrong(scored: dict[str, list[Finding]], checked: dict[str, list[Finding]]) -> None:
    assert {one.check for one in left_of(scored[BROKEN], KUBE_SCORE)} >= {"pod-networkpolicy"}
    assert {one.check for one in left_of(checked[BROKEN], CHECKOV)} >= {"CKV_K8S_19"}
