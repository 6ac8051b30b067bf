"""Resources written with kubectl, past the API: cases 137 to 145 of the input corpus, against a real API server."""

import json
import secrets
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from crds.transcriptionjob import API_VERSION, GROUP, KIND, State, Status
from crds.worker import build_job_name
from tests.support.kubectl import Kubectl, Manifest
from tests.support.namespaces import open_namespace
from tests.support.transcriptions import TJ, Transcriptions, an_id, is_final
from tests.support.waiting import wait_for

SOURCE = {"bucket": "transcriptions", "key": "videos/anonymous/none.mp4"}
STATUS = {"state": "Succeeded", "attempt": 7, "message": "mine"}
KOPF = {
    "kopf.zalando.org/last-handled-configuration": '{"spec":{"cancel":false}}',
    "kopf.zalando.org/touch-dummy": "1970-01-01T00:00:00",
    "kopf.zalando.org/see_transcription": '{"success":true,"failure":true,"retries":1000}',
}


@pytest.fixture(scope="module")
def alone(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace that no controller looks at: what the API server alone does."""
    with open_namespace(kubectl, "corpus") as here:
        yield here


def a_manifest(name: str = "", spec: Any = None, **metadata: Any) -> Manifest:
    spec = {"source": SOURCE} if spec is None else spec
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name or an_id("corpus"), **metadata},
        "spec": spec,
    }


def attempt(kubectl: Kubectl, *words: str, stdin: str | None = None) -> tuple[int, str]:
    """The exit code of a command that may fail, and what it says."""
    done = subprocess.run(kubectl.words(*words), input=stdin, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def assert_refused(kubectl: Kubectl, manifest: Manifest, why: str) -> None:
    code, said = attempt(kubectl, "create", "--filename", "-", stdin=json.dumps(manifest))
    assert code != 0
    assert why in said, said[:1000]
    assert kubectl.get(TJ, manifest["metadata"]["name"][:200]) is None


def spec_of(**fields: Any) -> dict[str, Any]:
    return {"source": SOURCE} | fields


REFUSED = [
    pytest.param({}, "spec.source: Required value", id="case_137_empty_spec"),
    pytest.param({"source": {}}, "spec.source.bucket: Required value", id="case_137_empty_source"),
    pytest.param(spec_of(source="x"), 'must be of type object: "string"', id="case_137_source_of_another_type"),
    pytest.param(spec_of(formats="txt"), "must be of type array", id="case_137_formats_of_another_type"),
    pytest.param(spec_of(cancel="yes"), "must be of type boolean", id="case_137_cancel_of_another_type"),
    pytest.param(spec_of(retries=1.5), "must be of type integer", id="case_137_retries_of_another_type"),
    pytest.param(spec_of(metadata={"a": 1}), "must be of type string", id="case_137_metadata_of_another_type"),
    pytest.param(spec_of(initialPrompt="x" * 300_000), "Too long", id="case_139_long_prompt"),
    pytest.param(spec_of(source=SOURCE | {"key": "x" * 1_600_000}), "Too long", id="case_139_spec_of_1_6_megabytes"),
    pytest.param(spec_of(metadata={"a": "x" * 300_000}), "Too long", id="case_139_long_metadata"),
    pytest.param(spec_of(metadata={str(n): "" for n in range(11)}), "Too many", id="case_139_much_metadata"),
    pytest.param(spec_of(callback={"url": "https://a/" + "x" * 300_000}), "Too long", id="case_139_long_url"),
    pytest.param(spec_of(image="evil"), 'unknown field "spec.image"', id="case_141_image"),
    pytest.param(spec_of(command=["sh"]), 'unknown field "spec.command"', id="case_141_command"),
    pytest.param(spec_of(nodeSelector={"a": "b"}), 'unknown field "spec.nodeSelector"', id="case_141_node_selector"),
    pytest.param(spec_of(serviceAccount="x"), 'unknown field "spec.serviceAccount"', id="case_141_service_account"),
    pytest.param(spec_of(temperature=1e9), 'unknown field "spec.temperature"', id="case_142_temperature"),
    pytest.param(spec_of(beamSize=10**6), 'unknown field "spec.beamSize"', id="case_142_beam"),
    pytest.param(spec_of(model="../../x"), "spec.model: Invalid value", id="case_142_model"),
    pytest.param(spec_of(language="xx\n"), "spec.language: Invalid value", id="case_142_language"),
    pytest.param(spec_of(task="summarise"), 'Unsupported value: "summarise"', id="case_142_task"),
    pytest.param(spec_of(formats=["pdf"]), 'Unsupported value: "pdf"', id="case_142_format"),
    pytest.param(spec_of(resources={"gpu": 10**6}), "should be less than or equal to 8", id="case_142_gpus"),
    pytest.param(spec_of(limits={"attempts": 10**6}), "should be less than or equal to 10", id="case_142_attempts"),
    pytest.param(spec_of(retries=-1), "should be greater than or equal to 0", id="case_142_retries"),
    pytest.param(spec_of(model="turbo", task="translate"), "turbo models cannot translate", id="case_142_turbo"),
    pytest.param(spec_of(tenant="../x"), "spec.tenant: Invalid value", id="case_142_tenant"),
    pytest.param(spec_of(callback={"url": "file:///etc/passwd"}), "spec.callback.url: Invalid", id="case_142_callback"),
]


@pytest.mark.parametrize(("spec", "why"), REFUSED)
def test_the_schema_refuses(alone: Kubectl, spec: Any, why: str) -> None:
    assert_refused(alone, a_manifest(spec=spec), why)


def test_case_137_a_resource_without_spec_is_refused(alone: Kubectl) -> None:
    manifest = a_manifest()
    del manifest["spec"]
    assert_refused(alone, manifest, "spec: Required value")


@pytest.mark.parametrize("status", [{"state": "Done"}, {"state": 1}, {"attempt": -1}, {"progress": {"percent": 101}}])
def test_case_137_an_unknown_state_is_refused(alone: Kubectl, status: dict[str, Any]) -> None:
    name = alone.create(a_manifest())["metadata"]["name"]
    patch = json.dumps({"status": status})
    code, said = attempt(alone, "patch", TJ, name, "--subresource", "status", "--type", "merge", "--patch", patch)
    assert code != 0
    assert "is invalid" in said


def test_case_138_a_status_that_is_set_at_create_is_dropped(alone: Kubectl) -> None:
    manifest = a_manifest() | {"status": STATUS}
    assert "status" not in alone.create(manifest)
    alone.patch(TJ, manifest["metadata"]["name"], {"status": STATUS})
    seen = alone.get(TJ, manifest["metadata"]["name"])
    assert seen is not None
    assert "status" not in seen


CHANGES: list[dict[str, Any]] = [
    {"source": {"key": "videos/other.mp4"}},
    {"model": "tiny"},
    {"language": "ko"},
    {"task": "translate"},
    {"wordTimestamps": True},
    {"formats": ["txt"]},
    {"initialPrompt": "x"},
    {"callback": {"url": "https://example.com/"}},
    {"tenant": "other"},
    {"resources": {"gpu": 8}},
    {"limits": {"attempts": 10}},
    {"metadata": {"a": "b"}},
    {"queueName": "a"},
]


@pytest.fixture(scope="module")
def settled_name(alone: Kubectl) -> str:
    name: str = alone.create(a_manifest(spec=spec_of(cancel=True, retries=3)))["metadata"]["name"]
    return name


@pytest.mark.parametrize("change", [pytest.param(c, id=f"case_140_{next(iter(c))}") for c in CHANGES])
def test_case_140_a_spec_is_immutable(alone: Kubectl, settled_name: str, change: dict[str, Any]) -> None:
    patch = json.dumps({"spec": change})
    code, said = attempt(alone, "patch", TJ, settled_name, "--type", "merge", "--patch", patch)
    assert code != 0
    assert "immutable" in said


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"cancel": False}, "cannot be taken back", id="case_140_cancel_taken_back"),
        pytest.param({"retries": 2}, "only rise", id="case_140_fewer_retries"),
    ],
)
def test_what_may_change_changes_one_way(alone: Kubectl, settled_name: str, change: dict[str, Any], why: str) -> None:
    patch = json.dumps({"spec": change})
    code, said = attempt(alone, "patch", TJ, settled_name, "--type", "merge", "--patch", patch)
    assert code != 0
    assert why in said


def test_case_141_fields_that_do_not_exist_are_never_stored(alone: Kubectl) -> None:
    evil = spec_of(image="evil", command=["sh"], nodeSelector={"a": "b"}, serviceAccountName="x", hostNetwork=True)
    manifest = a_manifest(spec=evil)
    alone.run("create", "--validate=false", "--filename", "-", stdin=json.dumps(manifest))
    seen = alone.get(TJ, manifest["metadata"]["name"])
    assert seen is not None
    assert set(evil) & set(seen["spec"]) == {"source"}


@pytest.mark.parametrize("length", [53, 63, 253])
def test_case_144_a_name_that_is_too_long_for_a_job_is_refused(alone: Kubectl, length: int) -> None:
    assert_refused(alone, a_manifest("a" * length), "RFC 1123 label of at most 52 characters")


@pytest.mark.parametrize("name", ["a.b", "A", "a_b", "-a", "a" * 254])
def test_case_144_a_name_that_is_no_label_is_refused(alone: Kubectl, name: str) -> None:
    code, said = attempt(alone, "create", "--filename", "-", stdin=json.dumps(a_manifest(name)))
    assert code != 0
    assert "nvalid" in said


def test_case_144_the_longest_name_makes_a_job(transcriptions: Transcriptions) -> None:
    name = f"corpus-{secrets.token_hex(22)}x"
    assert len(name) == 52
    transcriptions.create(name, transcriptions.store(b"no media", "a.mp4"))
    job = wait_for(lambda: transcriptions.job(name), 30, "its Job is made")
    assert job["metadata"]["name"] == build_job_name(name, 1)
    assert len(job["metadata"]["name"]) <= 63
    end = transcriptions.wait_until_finished(name, 90)
    assert end.status.state is State.FAILED


def ended_at_once(made: Transcriptions, **metadata: Any) -> tuple[str, Status]:
    manifest = a_manifest(spec=spec_of(cancel=True), **metadata)
    name: str = manifest["metadata"]["name"]
    made.names.append(name)
    with made.watch(name) as watch:
        made.kubectl.create(manifest)
        watch.until(is_final, 30, "it has ended")
    return name, made.read(name).status


def test_case_143_a_foreign_finalizer_only_delays_the_end(transcriptions: Transcriptions) -> None:
    name, _ = ended_at_once(transcriptions, finalizers=["example.com/hold"])
    transcriptions.kubectl.run("delete", TJ, name, "--wait=false")
    assert transcriptions.read(name).is_deleting
    transcriptions.kubectl.patch(TJ, name, {"metadata": {"finalizers": None}})
    transcriptions.kubectl.wait(f"{TJ}/{name}", "delete", 30)
    assert transcriptions.job(name) is None


def test_case_143_a_foreign_owner_is_not_touched(transcriptions: Transcriptions) -> None:
    owner, _ = ended_at_once(transcriptions)
    reference = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner,
        "uid": transcriptions.read(owner).uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    name, status = ended_at_once(transcriptions, ownerReferences=[reference])
    assert status.state is State.CANCELLED
    transcriptions.kubectl.delete(TJ, name)
    transcriptions.kubectl.wait(f"{TJ}/{name}", "delete", 30)
    assert not transcriptions.read(owner).is_deleting


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"annotations": KOPF}, id="case_145_annotations"),
        pytest.param({"labels": {"kopf.zalando.org/x": "y", f"{GROUP}/uid": "other"}}, id="case_145_labels"),
        pytest.param({"annotations": {f"{GROUP}/request": "x" * 1000}}, id="case_145_our_annotation"),
    ],
)
def test_keys_of_the_controller_change_nothing(transcriptions: Transcriptions, metadata: dict[str, Any]) -> None:
    _, status = ended_at_once(transcriptions, **metadata)
    assert status.state is State.CANCELLED
    assert status.attempt == 0
