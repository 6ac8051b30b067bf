"""The resource's own rules, as a real API server applies them to resources that nobody acts on."""

import json
from typing import Any

import pytest
import yaml

from crds.transcriptionjob import API_VERSION, GROUP, KIND, PLURAL, ObservedSpec, Source, Spec
from tests.support.admin import APPLY, JSON_PATCH
from tests.support.arena import SOURCE, Arena, refuse
from tests.support.kubectl import Kubectl, Manifest
from tests.support.speech import ROOT
from tests.support.transcriptions import an_id

OTHERS = "example.com/nobody"
CRD = "transcriptionjobs.transcription.ecg.dev"
OURS = ROOT / "crds/transcriptionjobs.yaml"
CHARTS = ROOT / "charts/transcription/files/transcriptionjobs.yaml"

IMMUTABLE: dict[str, Any] = {
    "source": {"key": "videos/other.mp4"},
    "model": "tiny",
    "language": "ko",
    "languageOptions": ["ko", "en"],
    "task": "translate",
    "wordTimestamps": True,
    "initialPrompt": "x",
    "formats": ["txt"],
    "engine": "batched",
    "callback": {"url": "https://example.com/"},
    "resources": {"gpu": 2},
    "tenant": "other",
    "queueName": "a",
    "managedBy": "example.com/another",
    "limits": {"attempts": 9},
    "metadata": {"a": "b"},
}
MUTABLE: dict[str, Any] = {
    "priority": "high",
    "ttlSecondsAfterFinished": 5,
    "deleteOutputs": True,
    "suspend": True,
    "cancel": True,
    "retries": 1,
    "redeliveries": 1,
}
FULLEST: dict[str, Any] = {
    "source": {"bucket": "b" * 63, "key": "k" * 1024, "etag": "e" * 128},
    "model": "m" * 64,
    "language": "eng",
    "languageOptions": [f"a{letter}" for letter in "abcdefghij"],
    "initialPrompt": "p" * 896,
    "callback": {"url": "https://" + "u" * 1016},
    "queueName": "q" * 63,
    "priority": "p" * 63,
    "tenant": "t" * 63,
    "metadata": {f"{number}".rjust(63, "n"): "v" * 128 for number in range(10)},
}


def a_manifest(name: str = "", **spec: Any) -> Manifest:
    wanted = {"source": SOURCE, "managedBy": OTHERS, **spec}
    metadata = {"name": name or an_id("schema")}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": wanted}


@pytest.fixture(scope="module")
def stored(arena: Arena) -> str:
    return str(arena.admin.create(PLURAL, a_manifest())["metadata"]["name"])


def test_every_field_of_the_spec_is_known_to_be_mutable_or_not() -> None:
    fields = {str(field.serialization_alias) for field in Spec.model_fields.values()}
    assert IMMUTABLE.keys() | MUTABLE.keys() == fields
    assert not IMMUTABLE.keys() & MUTABLE.keys()


@pytest.mark.parametrize("field", IMMUTABLE)
def test_a_field_is_immutable(arena: Arena, stored: str, field: str) -> None:
    change = {"spec": {field: IMMUTABLE[field]}}
    assert "immutable" in refuse(arena.admin.call("PATCH", arena.admin.path(PLURAL, stored), change))


@pytest.mark.parametrize("field", ["model", "language", "callback", "metadata", "queueName", "managedBy"])
def test_a_field_is_immutable_when_it_would_be_taken_away(arena: Arena, field: str) -> None:
    name = arena.admin.create(PLURAL, a_manifest(**{field: IMMUTABLE[field]}))["metadata"]["name"]
    answer = arena.admin.call("PATCH", arena.admin.path(PLURAL, name), {"spec": {field: None}})
    assert "immutable" in refuse(answer)


def test_the_other_fields_may_change(arena: Arena, stored: str) -> None:
    changed = arena.admin.patch(PLURAL, stored, {"spec": MUTABLE})
    assert changed["spec"].items() >= MUTABLE.items()
    for back in ({"cancel": False}, {"retries": 0}, {"redeliveries": 0}):
        refuse(arena.admin.call("PATCH", arena.admin.path(PLURAL, stored), {"spec": back}))


def test_defaults_are_those_of_the_typed_view(arena: Arena) -> None:
    spec = arena.admin.create(PLURAL, a_manifest())["spec"]
    expected = Spec(source=Source(**SOURCE), managed_by=OTHERS)
    assert ObservedSpec.model_validate(spec).model_dump() == expected.model_dump()


def test_parts_get_their_defaults_when_the_rest_of_them_is_given(arena: Arena) -> None:
    spec = arena.admin.create(PLURAL, a_manifest(limits={"attempts": 1}, resources={"gpu": 2}))["spec"]
    assert spec["limits"] == {"attempts": 1, "queueSeconds": 86400, "runSeconds": 43200, "totalSeconds": 604800}
    assert spec["resources"] == {"gpu": 2, "gpuResource": "nvidia.com/gpu"}


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        ({"gpu": 2, "gpuResource": "nvidia.com/gpu.shared"}, "a shared GPU can be asked for once"),
        ({"gpu": 9}, "less than or equal to 8"),
        ({"gpu": -1}, "greater than or equal to 0"),
        ({"gpuResource": "gpu"}, "spec.resources.gpuResource"),
        ({"gpuResource": "nvidia.com/gpu, x"}, "spec.resources.gpuResource"),
    ],
)
def test_gpus_that_make_no_sense_are_refused(arena: Arena, resources: Manifest, why: str) -> None:
    answer = arena.admin.call("POST", arena.admin.path(PLURAL), a_manifest(resources=resources))
    assert why in refuse(answer)


def test_a_shared_gpu_may_be_asked_for_once(arena: Arena) -> None:
    resources = {"gpu": 1, "gpuResource": "nvidia.com/gpu.shared"}
    assert arena.admin.create(PLURAL, a_manifest(resources=resources))["spec"]["resources"] == resources


def test_the_rules_are_cheap_enough_when_they_are_new_to_the_api_server(arena: Arena) -> None:
    """Under another group, because the costs of rules that are stored already are not looked at again."""
    fresh = yaml.safe_load(OURS.read_text().replace(GROUP, "costs.ecg.dev"))
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All"
    made = arena.admin.ask("POST", path, fresh)
    assert made["metadata"]["name"] == "transcriptionjobs.costs.ecg.dev"


def test_the_rules_are_cheap_enough_when_every_field_is_full(arena: Arena) -> None:
    name = arena.admin.create(PLURAL, a_manifest("f" * 52, **FULLEST))["metadata"]["name"]
    condition = {
        "status": "True",
        "reason": "R" * 64,
        "message": "m" * 512,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {
        "state": "Running",
        "attempt": 2000,
        "message": "m" * 512,
        "avoidNodes": [f"{number}".rjust(253, "n") for number in range(10)],
        "progress": {"podUID": "u" * 36, "attempt": 2000, "percent": 1},
        "result": {"key": "k" * 256, "sha256": "a" * 64, "bytes": 1, "formats": ["json"]},
        "conditions": [condition | {"type": f"{number}".rjust(64, "T")} for number in range(12)],
    }
    arena.set_status(name, **status)
    arena.set_status(name, **status | {"progress": {"podUID": "u" * 36, "attempt": 2000, "percent": 2}})
    changed = arena.admin.patch(PLURAL, name, {"spec": {"suspend": True}})
    assert len(json.dumps(changed)) < 32 * 1024
    arena.admin.delete(PLURAL, name)


@pytest.mark.parametrize("percent", [101, -1, 50.5])
def test_progress_outside_0_to_100_is_refused_with_a_message_that_says_so(
    arena: Arena, stored: str, percent: float
) -> None:
    progress = {"podUID": "u", "attempt": 1, "percent": percent}
    answer = arena.admin.call("PATCH", arena.admin.path(PLURAL, f"{stored}/status"), {"status": {"progress": progress}})
    said = refuse(answer)
    assert "status.progress.percent" in said
    assert any(word in said for word in ("less than or equal to 100", "greater than or equal to 0", "integer"))


def test_generation_stays_when_the_same_is_applied_again(arena: Arena) -> None:
    manifest = a_manifest(limits={"attempts": 2}, formats=["txt", "json"], metadata={"a": "b"})
    path = arena.admin.path(PLURAL, manifest["metadata"]["name"])
    first = arena.admin.ask("PATCH", f"{path}?fieldManager=git", manifest, APPLY)
    arena.set_status(first["metadata"]["name"], state="Pending", attempt=1)
    again = arena.admin.ask("PATCH", f"{path}?fieldManager=git", manifest, APPLY)
    other = arena.admin.ask("PATCH", f"{path}?fieldManager=other", manifest, APPLY)
    assert [seen["metadata"]["generation"] for seen in (first, again, other)] == [1, 1, 1]
    assert again["status"] == {"state": "Pending", "attempt": 1}
    changed = arena.admin.ask(
        "PATCH", f"{path}?fieldManager=git", manifest | {"spec": manifest["spec"] | {"suspend": True}}, APPLY
    )
    assert changed["metadata"]["generation"] == 2


def test_generation_stays_when_the_status_changes(arena: Arena, stored: str) -> None:
    before = arena.read(stored).generation
    arena.set_status(stored, message="changed")
    assert arena.read(stored).generation == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/spec/source/key", "value": "videos/other.mp4"},
        {"op": "remove", "path": "/spec/tenant"},
        {"op": "add", "path": "/spec/model", "value": "tiny"},
    ],
)
def test_a_json_patch_changes_what_is_immutable_as_little(arena: Arena, stored: str, operation: Manifest) -> None:
    before = arena.read(stored).spec
    answer = arena.admin.call("PATCH", arena.admin.path(PLURAL, stored), [operation], JSON_PATCH)
    assert answer.is_client_error or arena.read(stored).spec == before, answer.text


def test_the_charts_definition_is_ours() -> None:
    assert yaml.safe_load(CHARTS.read_text()) == yaml.safe_load(OURS.read_text())


def test_the_clusters_definition_has_not_drifted_from_ours(kubectl: Kubectl) -> None:
    """Applied without effect, so that the API server fills in its defaults in ours too."""
    stored = kubectl.get("customresourcedefinition", CRD)
    words = (
        "apply",
        "--server-side",
        "--dry-run=server",
        "--force-conflicts",
        "--output",
        "json",
        "--filename",
        str(OURS),
    )
    ours = json.loads(kubectl.run(*words))
    assert stored is not None
    assert stored["spec"] == ours["spec"]
    assert stored["status"]["storedVersions"] == ["v1alpha1"]
    assert {c["type"]: c["status"] for c in stored["status"]["conditions"]}.items() >= {"Established": "True"}.items()
