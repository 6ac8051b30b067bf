"""Versions that stand in more than one place are the same, and each Kubernetes has its own programs."""

import json
import re
from pathlib import Path

import pytest
import yaml

from dev import binaries, cluster, python, state, versions
from dev.state import StateError
from dev.versions import of_module

ROOT = Path(__file__).parents[2]
CHART = yaml.safe_load((ROOT / "charts/transcription/Chart.yaml").read_text())


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBERNETES", raising=False)
    monkeypatch.setenv("TRANSCRIPTION_DEV_STATE", str(tmp_path))


def kubernetes(monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    """The version that goes by this name, such as `1.35.4`."""
    monkeypatch.setenv("KUBERNETES", name)
    return versions.kubernetes().removeprefix("v")


def minor(version: str) -> str:
    """`1.35` of `v1.35.4`."""
    return ".".join(version.removeprefix("v").split(".")[:2])


@pytest.fixture
def supported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The oldest and the newest, such as `1.35`."""
    return [minor(kubernetes(monkeypatch, name)) for name in (versions.OLDEST, versions.NEWEST)]


def test_etcds_tools_are_of_its_own_version() -> None:
    server = of_module("etcd", "go.etcd.io/etcd/server/v3")
    assert [of_module("etcd-tools", f"go.etcd.io/etcd/{tool}/v3") for tool in ("etcdctl", "etcdutl")] == [server] * 2


def test_the_chart_takes_the_oldest_and_newer(supported: list[str]) -> None:
    assert CHART["kubeVersion"] == f">={supported[0]}.0-0"
    assert CHART["annotations"]["transcription.ecg.dev/tested-kubernetes"] == ", ".join(supported)


@pytest.mark.parametrize("guide", ["README.md", "CONTRIBUTING.md", "charts/transcription/README.md"])
def test_a_guide_names_the_oldest_and_the_newest_and_no_other(guide: str, supported: list[str]) -> None:
    text = (ROOT / guide).read_text()
    assert f"Kubernetes {supported[0]} " in text
    assert set(re.findall(r"\b1\.3\d\b", text)) == set(supported)


def test_the_workflow_runs_on_the_oldest_and_the_newest(supported: list[str]) -> None:
    matrix = re.search(r"^ *kubernetes: \[(.+)\]$", (ROOT / ".github/workflows/ci.yaml").read_text(), re.MULTILINE)
    assert matrix
    assert [minor(version) for version in matrix[1].split(", ")] == supported


def test_the_published_node_image_is_of_the_oldest(supported: list[str]) -> None:
    assert minor(versions.PUBLISHED_OLDEST.partition(":")[2]) == supported[0]


@pytest.mark.parametrize(
    ("chosen", "is_made_here", "image"),
    [
        (versions.NEWEST, False, None),
        (versions.OLDEST, False, versions.PUBLISHED_OLDEST),
        (versions.OLDEST, True, None),
    ],
)
def test_kind_is_told_the_published_image_of_the_oldest_where_none_is_made(
    chosen: str, is_made_here: bool, image: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES", chosen)
    config = json.dumps(cluster.build_config(ROOT, ROOT, own_network=is_made_here))
    assert json.loads(config)["nodes"][0].get("image") == image


def test_the_server_and_its_modules_are_of_one_minor_version(supported: list[str]) -> None:
    for folder, version in zip(("oldest/kubernetes", "kubernetes"), supported, strict=True):
        text = (versions.tools() / folder / "go.mod").read_text()
        replaced = re.findall(r"^replace \S+ => \S+ v0\.(\d+)\.", text, re.MULTILINE)
        assert set(replaced) == {version.removeprefix("1.")}


def test_the_tests_of_the_oldest_are_there() -> None:
    assert [word for word in python.MATRIX if not (ROOT / word.removeprefix("--ignore=")).exists()] == []


def test_another_kubernetes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StateError, match=r"KUBERNETES is newest or oldest, not 1\.20"):
        kubernetes(monkeypatch, "1.20")


def folders_of(monkeypatch: pytest.MonkeyPatch, name: str) -> dict[str, Path]:
    """Where the programs lie when this Kubernetes is chosen."""
    monkeypatch.setenv("KUBERNETES", name)
    return {program.name: program.folder() for program in (*binaries.BARE, binaries.KUBECTL, binaries.HELM)}


def test_only_what_differs_is_built_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    oldest, newest = (folders_of(monkeypatch, name) for name in (versions.OLDEST, versions.NEWEST))
    assert {name for name in newest if newest[name] != oldest[name]} == {"kubernetes", "etcd", "kubectl"}


@pytest.mark.parametrize("chosen", [versions.OLDEST, versions.NEWEST])
def test_a_new_build_removes_its_own_older_one_and_not_the_other_kubernetes(
    chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [folders_of(monkeypatch, name)["etcd"] for name in (versions.OLDEST, versions.NEWEST)]
    older = [folder.with_name("etcd-0123456789ab") for folder in both]
    for folder in (*both, *older):
        folder.mkdir(parents=True)
    monkeypatch.setenv("KUBERNETES", chosen)
    binaries.drop_older(binaries.ETCD)
    own = binaries.ETCD.folder().with_name("etcd-0123456789ab")
    assert [folder for folder in (*both, *older) if not folder.exists()] == [own]


def test_a_second_kubernetes_needs_more_disk_than_a_change_and_less_than_the_first() -> None:
    before = state.needed_gib(versions.OLDEST)
    state.complete(versions.NEWEST).touch()
    second = state.needed_gib(versions.OLDEST)
    state.complete(versions.OLDEST).touch()
    assert before > second > state.needed_gib(versions.OLDEST) == state.needed_gib(versions.NEWEST)
