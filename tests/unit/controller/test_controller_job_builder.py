from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.job_builder import build_job, build_task
from controller.settings import WorkerPod
from crds.transcriptionjob import Status
from crds.worker import WorkerTask, build_job_name
from tests.support.controller_fakes import UID, a_transcription, some_settings

GOLDEN = Path(__file__).parent / "golden"
FULL_POD = {
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "resources": {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "8Gi"}},
    "runtimeClassName": "nvidia",
    "priorityClassName": "low",
    "labels": {"team": "media", "transcription.ecg.dev/name": "forged"},
    "annotations": {"note": "yes"},
    "volumes": [{"name": "models", "emptyDir": {}}],
    "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    "env": [{"name": "WORKER_MODEL_DIR", "value": "/models"}],
}
PLAIN = (a_transcription(), 1, some_settings())
FULL = (
    a_transcription(
        model="small",
        language="ko",
        languageOptions=["ko", "en"],
        engine="quality",
        task="translate",
        wordTimestamps=True,
        initialPrompt="names: 김",
        formats=["json", "srt"],
        callback={"url": "https://example.com/hook"},
        resources={"gpu": 2, "gpuResource": "nvidia.com/mig-1g.5gb"},
        tenant="team-a",
        priority="urgent",
        limits={"runSeconds": 600},
        metadata={"order": "7"},
    ),
    2,
    some_settings(
        s3_endpoint="http://s3:9000",
        s3_path_style=True,
        callback_secret_name="signing",
        callback_allowed_hosts="hooks.svc,10.0.0.0/8",
        worker_s3_secret="worker-s3",
        worker_pod=FULL_POD,
    ),
)
CPU = (a_transcription(resources={"gpu": 0}, language="auto"), 1, some_settings(callback_url=None))
QUEUED = (
    a_transcription(Status(attempt=2, avoid_nodes=("gpu-1", "gpu-2")), queueName="team-a", priority="urgent"),
    2,
    some_settings(worker_pod=FULL_POD),
    5000,
)


@pytest.mark.parametrize(("name", "case"), [("plain", PLAIN), ("full", FULL), ("cpu", CPU), ("queued", QUEUED)])
def test_manifest_is_the_golden_one(name: str, case: tuple[Any, ...]) -> None:
    golden = yaml.safe_load((GOLDEN / f"job-{name}.yaml").read_text())
    assert build_job(*case) == golden


def test_task_is_read_back_by_the_worker() -> None:
    manifest = build_job(*FULL)
    env = {e["name"]: e for e in manifest["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert WorkerTask.model_validate_json(env["WORKER_TASK"]["value"]) == build_task(*FULL)


def test_no_variable_is_expanded_when_the_request_names_one() -> None:
    prompt = "$(AWS_SECRET_ACCESS_KEY) $$ ${HOME} \\u0024"
    transcription = a_transcription(initialPrompt=prompt, metadata={"a": "$(WORKER_CALLBACK_SECRET)"})
    manifest = build_job(transcription, 1, some_settings())
    env = {e["name"]: e for e in manifest["spec"]["template"]["spec"]["containers"][0]["env"]}
    value = env["WORKER_TASK"]["value"]
    assert "$" not in value
    assert WorkerTask.model_validate_json(value) == build_task(transcription, 1, some_settings())


def test_language_is_left_to_the_model_when_it_is_auto() -> None:
    assert build_task(*CPU).language is None


def test_settings_are_not_shared_when_two_manifests_are_built() -> None:
    settings = some_settings(worker_pod=FULL_POD)
    first, second = (build_job(a_transcription(), n, settings) for n in (1, 2))
    first["spec"]["template"]["spec"]["volumes"][-1]["emptyDir"]["sizeLimit"] = "1Gi"
    first["spec"]["template"]["spec"]["tolerations"].clear()
    pod = second["spec"]["template"]["spec"]
    assert pod["volumes"][-1] == {"name": "models", "emptyDir": {}}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert settings.worker_pod == WorkerPod.model_validate(FULL_POD)


def test_own_labels_win_when_the_installation_gives_the_same() -> None:
    labels = build_job(*FULL)["spec"]["template"]["metadata"]["labels"]
    assert labels["transcription.ecg.dev/name"] == "clip"
    assert labels["team"] == "media"


def test_names_fit_into_63_characters_when_the_id_is_as_long_as_allowed() -> None:
    pod_name = f"{build_job_name('a' * 52, 2000)}-abcde"
    assert len(pod_name) <= 63


def test_owner_is_the_transcription() -> None:
    owner = build_job(*PLAIN)["metadata"]["ownerReferences"]
    assert owner == [
        {
            "apiVersion": "transcription.ecg.dev/v1alpha1",
            "kind": "TranscriptionJob",
            "name": "clip",
            "uid": UID,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_wish_for_other_nodes_is_added_to_the_wishes_of_the_installation() -> None:
    own = {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [own]}}
    settings = some_settings(worker_pod=FULL_POD | {"affinity": affinity})
    avoiding = a_transcription(Status(attempt=2, avoid_nodes=("gpu-1",)))
    for _ in range(2):
        pod = build_job(avoiding, 2, settings)["spec"]["template"]["spec"]
        wishes = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        others = {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["gpu-1"]}]}
        assert wishes == [own, {"weight": 100, "preference": others}]
    assert settings.worker_pod.affinity == affinity


def test_reports_grow_rarer_when_many_are_at_work() -> None:
    intervals = [build_task(a_transcription(), 1, some_settings(), active) for active in (0, 1000, 1001, 5000)]
    assert [task.progress_interval_seconds for task in intervals] == [10, 10, 10.01, 50]
