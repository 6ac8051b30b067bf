"""The YAML of the resource and its typed view say the same."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from crds import transcriptionjob as contract
from crds.reasons import REASONS, WAITING, ExitCode, Reason, WaitingReason
from crds.transcriptionjob import Spec, Status, Transcription, build_transcription
from crds.worker import Outcome, WorkerTask, build_job_name, build_result_prefix
from tests.support.manifests import a_manifest

CRD_FILE = Path(__file__).parents[2] / "crds" / "transcriptionjobs.yaml"
CRD: dict[str, Any] = yaml.safe_load(CRD_FILE.read_text())
VERSION = CRD["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]["properties"]


def model_of(field: FieldInfo) -> type[BaseModel] | None:
    """The pydantic model behind `X`, `X | None` or `tuple[X, ...]`."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def properties_of(schema: dict[str, Any]) -> dict[str, Any]:
    return (schema.get("items", schema)).get("properties", {})


def differences(model: type[BaseModel], schema: dict[str, Any], path: str) -> list[str]:
    """Field names, required fields and defaults that stand in only one of the two."""
    properties = properties_of(schema)
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    found = [f"{path}.{name}" for name in fields.keys() ^ properties.keys()]
    required = {alias for alias, field in fields.items() if field.is_required()}
    found += [f"{path}.{name} required" for name in required ^ set(schema.get("items", schema).get("required", []))]
    for alias, field in fields.items():
        if (inner := model_of(field)) and properties_of(properties.get(alias, {})):
            found += differences(inner, properties[alias], f"{path}.{alias}")
    return found


def defaults_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: prop["default"] for name, prop in schema["properties"].items() if "default" in prop}


def test_group_and_names_are_the_same_in_yaml_and_types() -> None:
    names = CRD["spec"]["names"]
    assert (CRD["spec"]["group"], VERSION["name"]) == (contract.GROUP, contract.VERSION)
    assert (names["kind"], names["plural"]) == (contract.KIND, contract.PLURAL)
    assert names["shortNames"] == ["tj"]


@pytest.mark.parametrize(("model", "part"), [(Spec, "spec"), (Status, "status")])
def test_fields_are_the_same_in_yaml_and_types(model: type[BaseModel], part: str) -> None:
    assert differences(model, SCHEMA[part], part) == []


def test_defaults_are_the_same_in_yaml_and_types() -> None:
    spec = Spec.model_validate(a_manifest()["spec"]).to_manifest()
    del spec["source"]
    assert spec == defaults_of(SCHEMA["spec"])
    for part in ("resources", "limits"):
        assert SCHEMA["spec"]["properties"][part]["default"] == defaults_of(SCHEMA["spec"]["properties"][part])


@pytest.mark.parametrize(
    ("enum", "path"),
    [
        (contract.State, ("state",)),
        (contract.Stage, ("progress", "stage")),
        (contract.CallbackState, ("callback", "state")),
    ],
)
def test_words_are_the_same_in_yaml_and_types(enum: type[Any], path: tuple[str, ...]) -> None:
    schema = SCHEMA["status"]
    for name in path:
        schema = schema["properties"][name]
    assert schema["enum"] == [str(word) for word in enum]


def unbounded(schema: dict[str, Any], path: str) -> list[str]:
    """Strings, lists and maps without a cap: with one of these the resource could outgrow etcd."""
    kind = schema.get("type")
    if kind == "string":
        return [] if {"maxLength", "enum", "format"} & schema.keys() else [path]
    if kind == "array":
        return ([] if "maxItems" in schema else [path]) + unbounded(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        inner = unbounded(schema["additionalProperties"], f"{path}{{}}")
        return ([] if "maxProperties" in schema else [path]) + inner
    return [p for name, prop in schema.get("properties", {}).items() for p in unbounded(prop, f"{path}.{name}")]


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_string_list_and_map_is_capped(part: str) -> None:
    assert unbounded(SCHEMA[part], part) == []


def test_kubectl_shows_state_progress_stage_and_age() -> None:
    columns = [c["name"] for c in VERSION["additionalPrinterColumns"] if not c.get("priority")]
    assert columns == ["State", "Progress", "Stage", "Age"]


def test_parse_reads_what_build_made() -> None:
    spec = Spec.model_validate(a_manifest(model="demo", callback={"url": "https://example.org/hook"})["spec"])
    built = build_transcription("talk", "transcription", spec)
    read = a_manifest() | {"spec": built["spec"]}
    assert Transcription.parse(read).spec.model_dump() == spec.model_dump()


def test_fields_of_a_newer_version_are_ignored_when_read_and_refused_when_written() -> None:
    assert Transcription.parse(a_manifest(novelty=1)).spec.source.key == "videos/a.mp4"
    with pytest.raises(ValidationError, match="novelty"):
        Spec.model_validate(a_manifest(novelty=1)["spec"])


def test_every_reason_has_a_sentence_that_fits() -> None:
    assert set(REASONS) == set(Reason)
    assert set(WAITING) == set(WaitingReason)
    for info in REASONS.values():
        assert info.message.endswith(".")
        assert len(info.message) <= 512


def test_permanent_exit_codes_are_not_retried_by_the_job() -> None:
    """64-79 is what podFailurePolicy fails at once; of these only missing rights can heal."""
    permanent = {r for r, i in REASONS.items() if i.exit_code and 64 <= i.exit_code < 80 and i.retryable}
    assert permanent == {Reason.INPUT_DENIED, Reason.RESULT_DENIED}
    assert ExitCode.TERMINATED == 143


def test_names_stay_within_kubernetes_limits_when_the_id_is_longest() -> None:
    longest = "a" * 52
    assert len(f"{build_job_name(longest, 2000)}-abcde") <= 63
    prefix = build_result_prefix("n" * 63, longest, "0" * 36, 2000)
    assert len(f"{prefix}transcript.json") <= SCHEMA["status"]["properties"]["result"]["properties"]["key"]["maxLength"]


def test_an_outcome_is_a_result_or_a_failure() -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        Outcome()


def test_a_task_survives_its_way_through_the_environment() -> None:
    task = WorkerTask.model_validate(
        {
            "target": {"namespace": "transcription", "name": "talk", "uid": "0b6e", "attempt": 1},
            "source": {"bucket": "media", "key": 'videos/말 "x".mp4'},
            "model": "demo",
            "formats": ["json", "srt"],
            "resultBucket": "media",
            "resultPrefix": "transcripts/",
            "callbackId": "msg_0b6e_1",
        }
    )
    assert WorkerTask.model_validate_json(task.model_dump_json(by_alias=True)) == task


def test_fields_of_a_newer_version_are_ignored_wherever_they_stand() -> None:
    newer = {
        "source": {"bucket": "media", "key": "a.mp4", "region": "x"},
        "limits": {"attempts": 1, "pods": 3},
        "resources": {"gpu": 1, "memory": "1Gi"},
        "callback": {"url": "https://example.org", "format": "thin"},
        "colour": "red",
    }
    meta = {
        "namespace": "ns",
        "name": "a",
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-02T03:04:05Z",
    }
    assert Transcription.parse({"metadata": meta, "spec": newer}).spec.limits.attempts == 1
