"""What Argo CD and Flux make of a TranscriptionJob in every state, by the files that they are given."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import celpy
import lupa
import pytest
import yaml

from controller.conditions import enter
from crds.transcriptionjob import API_VERSION, GROUP, KIND, State, Status
from tests.support.controller_fakes import a_transcription
from tests.support.speech import ROOT

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GITOPS = ROOT / "gitops"
HEALTH = {
    None: ("Progressing", "in progress"),
    State.PENDING: ("Progressing", "in progress"),
    State.QUEUED: ("Progressing", "in progress"),
    State.STARTING: ("Progressing", "in progress"),
    State.RUNNING: ("Progressing", "in progress"),
    State.SUSPENDED: ("Suspended", "current"),
    State.SUCCEEDED: ("Healthy", "current"),
    State.CANCELLED: ("Healthy", "current"),
    State.FAILED: ("Degraded", "failed"),
}


def a_resource(state: State | None) -> dict[str, Any]:
    """As the controller leaves it; None is one that nobody has looked at."""
    manifest: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "talk"}, "spec": {}}
    if state is None:
        return manifest
    status: Status = enter(a_transcription(), state, "A sentence.", "AReason", NOW)
    return manifest | {"status": status.to_manifest()}


@pytest.fixture(scope="module")
def argo() -> Callable[[dict[str, Any]], dict[str, str]]:
    """The script in a Lua of its own, with the resource as `obj`."""
    lua = lupa.LuaRuntime(unpack_returned_tuples=True)
    script = (GITOPS / "argocd/health.lua").read_text()

    def judge(resource: dict[str, Any]) -> dict[str, str]:
        lua.globals().obj = lua.table_from(resource, recursive=True)
        return dict(lua.execute(script).items())

    return judge


@pytest.fixture(scope="module")
def flux() -> Callable[[dict[str, Any]], str]:
    """The expressions in Flux's order. One that asks for what is not there makes it wait, as Flux says."""
    (check,) = yaml.safe_load((GITOPS / "flux/kustomization.yaml").read_text())["spec"]["healthCheckExprs"]
    assert (check["apiVersion"], check["kind"]) == (API_VERSION, KIND)
    environment = celpy.Environment()
    programs = {name: environment.program(environment.compile(check[name])) for name in NAMES}

    def judge(resource: dict[str, Any]) -> str:
        variables = {name: celpy.json_to_cel(value) for name, value in resource.items()}
        try:
            true = [NAMES[name] for name, program in programs.items() if program.evaluate(variables)]
        except celpy.CELEvalError:
            return "in progress"
        assert len(true) == 1, f"{true} at once"
        return true[0]

    return judge


NAMES = {"inProgress": "in progress", "failed": "failed", "current": "current"}


def test_every_state_has_its_health() -> None:
    assert set(HEALTH) == {None, *State}


@pytest.mark.parametrize("state", HEALTH)
def test_argo_cd_knows_how_a_transcription_is(argo: Callable[..., dict[str, str]], state: State | None) -> None:
    found = argo(a_resource(state))
    assert found["status"] == HEALTH[state][0]
    assert found["message"] == ("Nobody has looked at it yet." if state is None else "A sentence.")


@pytest.mark.parametrize("state", HEALTH)
def test_flux_knows_how_a_transcription_is(flux: Callable[..., str], state: State | None) -> None:
    assert flux(a_resource(state)) == HEALTH[state][1]


@pytest.mark.parametrize("status", [{}, {"message": "Waiting."}, {"conditions": []}])
def test_a_transcription_is_waited_for_when_it_has_no_conditions_yet(
    argo: Callable[..., dict[str, str]], flux: Callable[..., str], status: dict[str, Any]
) -> None:
    resource = a_resource(None) | {"status": status}
    assert argo(resource)["status"] == "Progressing"
    assert flux(resource) == "in progress"


def test_the_config_map_of_argo_cd_has_the_script() -> None:
    data = yaml.safe_load((GITOPS / "argocd/argocd-cm.yaml").read_text())["data"]
    assert data == {f"resource.customizations.health.{GROUP}_{KIND}": (GITOPS / "argocd/health.lua").read_text()}
