"""What an installation may change in the pods, and what workers get of it."""

import json
from typing import Any

import pytest
import yaml
from chart_rendering import CHART, RELEASE, Chart, Manifest

from crds.reasons import ExitCode

WORKER_POLICY = "request.userInfo.username == 'system:serviceaccount:media:scribe-worker'"


def find(objects: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def pod_of(objects: list[Manifest], part: str) -> Manifest:
    template: Manifest = find(objects, "Deployment", f"scribe-{part}")["spec"]["template"]
    return template


def read_worker(objects: list[Manifest]) -> dict[str, Any]:
    """What the controller is told of worker pods, its image and account."""
    (container,) = pod_of(objects, "controller")["spec"]["containers"]
    env = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    own = {"image": env["CONTROLLER_WORKER_IMAGE"], "account": env["CONTROLLER_WORKER_SERVICE_ACCOUNT"]}
    return own | dict(json.loads(env["CONTROLLER_WORKER_POD"]))


def render(chart: Chart, *settings: str) -> list[Manifest]:
    done = chart.run("template", RELEASE, CHART, *[word for setting in settings for word in ("--set", setting)])
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.load_all(done.stdout, yaml.CSafeLoader) if found]


@pytest.mark.parametrize("part", ["api", "controller"])
def test_what_the_values_say_of_a_pod_is_in_it(full: list[Manifest], part: str) -> None:
    template = pod_of(full, part)
    pod, (container,) = template["spec"], template["spec"]["containers"]
    assert template["metadata"]["annotations"] == {"note": 'a "quoted" one'}
    assert template["metadata"]["labels"]["team"] == "media"
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "control", "operator": "Exists"}]
    assert pod["affinity"] == {"nodeAffinity": {}}
    (spread,) = pod["topologySpreadConstraints"]
    selector = find(full, "Deployment", f"scribe-{part}")["spec"]["selector"]
    assert (spread["topologyKey"], spread["labelSelector"]) == ("rack", selector), (
        "without a selector it counts no pods"
    )
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert {"name": "EXTRA", "value": "1"} in container["env"]
    assert {"name": "extra", "configMap": {"name": "extra"}} in pod["volumes"]
    assert {"name": "extra", "mountPath": "/extra", "readOnly": True} in container["volumeMounts"]


@pytest.mark.parametrize("part", ["api", "controller"])
def test_pods_stand_on_nodes_and_in_zones_of_their_own_where_that_is_possible(chart: Chart, part: str) -> None:
    pod = pod_of(chart.render(), part)["spec"]
    (spread,) = pod["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "ScheduleAnyway")
    ((nearby,), *required) = pod["affinity"]["podAntiAffinity"].values()
    assert nearby["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    assert required == []


def test_labels_of_the_chart_win_over_those_of_an_installation(chart: Chart) -> None:
    objects = render(chart, r"api.podLabels.app\.kubernetes\.io/component=other")
    deployment = find(objects, "Deployment", "scribe-api")
    assert deployment["spec"]["selector"]["matchLabels"].items() <= pod_of(objects, "api")["metadata"]["labels"].items()


def test_worker_pods_belong_to_the_release_and_to_the_controller(full: list[Manifest]) -> None:
    labels = read_worker(full)["labels"]
    assert labels["app.kubernetes.io/instance"] == RELEASE
    assert labels["app.kubernetes.io/component"] == "worker"
    assert (labels["team"], labels["cost"]) == ("media", "media")
    assert "app.kubernetes.io/managed-by" not in labels, "that is the controller's to say"


def test_one_registry_serves_all_images_the_workers_too(chart: Chart) -> None:
    objects = render(chart, "global.imageRegistry=mirror.example.org/team", "api.image.registry=other.example.org")
    images = {part: pod_of(objects, part)["spec"]["containers"][0]["image"] for part in ("api", "controller")}
    assert images == {
        "api": "other.example.org/transcription-api:0.1.0",
        "controller": "mirror.example.org/team/transcription-controller:0.1.0",
    }
    assert read_worker(objects)["image"] == "mirror.example.org/team/transcription-worker:0.1.0"


def test_images_have_no_registry_when_none_is_given(chart: Chart) -> None:
    assert read_worker(chart.render())["image"] == "transcription-worker:0.1.0"


def test_pull_secrets_reach_every_pod(full: list[Manifest]) -> None:
    pods = [pod_of(full, "api")["spec"], pod_of(full, "controller")["spec"], read_worker(full)]
    assert [pod["imagePullSecrets"] for pod in pods] == [[{"name": "mirror"}]] * 3


def test_an_account_of_somebody_else_is_used_and_not_made(full: list[Manifest]) -> None:
    assert pod_of(full, "controller")["spec"]["serviceAccountName"] == "courier"
    accounts = {found["metadata"]["name"] for found in full if found["kind"] == "ServiceAccount"}
    assert accounts == {"scribe-api", "scribe-worker"}
    (subject,) = find(full, "RoleBinding", "scribe-controller")["subjects"]
    assert subject["name"] == "courier"


def test_the_admission_policy_follows_the_name_of_the_worker_account(chart: Chart) -> None:
    for name, wanted in (("", WORKER_POLICY), ("gpu", WORKER_POLICY.replace("scribe-worker", "gpu"))):
        objects = render(chart, f"worker.serviceAccount.name={name}")
        (policy,) = [found for found in objects if found["kind"] == "ValidatingAdmissionPolicy"]
        assert [condition["expression"] for condition in policy["spec"]["matchConditions"]] == [wanted]
        assert read_worker(objects)["account"] == (name or "scribe-worker")


def test_more_objects_are_made_with_their_expressions_filled_in(full: list[Manifest]) -> None:
    assert find(full, "ConfigMap", "scribe-more")["metadata"]["namespace"] == "media"


def test_labels_for_everything_are_on_everything(full: list[Manifest]) -> None:
    objects = [found for found in full if found["kind"] != "ConfigMap"]
    assert all(found["metadata"]["labels"]["cost"] == "media" for found in objects)
    assert pod_of(full, "api")["metadata"]["labels"]["cost"] == "media"


@pytest.mark.parametrize(
    ("source", "volume"),
    [
        ("volumeClaim=whisper", {"persistentVolumeClaim": {"claimName": "whisper", "readOnly": True}}),
        ("image=mirror/models:1", {"image": {"reference": "mirror/models:1", "pullPolicy": "IfNotPresent"}}),
        ("hostPath=/srv/models", {"hostPath": {"path": "/srv/models", "type": "Directory"}}),
    ],
)
def test_models_are_mounted_where_workers_look_for_them(chart: Chart, source: str, volume: dict[str, Any]) -> None:
    pod = read_worker(render(chart, f"worker.modelSource.{source}"))
    assert pod["volumes"] == [{"name": "models"} | volume]
    assert pod["volumeMounts"] == [{"name": "models", "mountPath": "/models", "readOnly": True}]


def test_the_models_are_those_of_the_image_when_no_source_is_given(chart: Chart) -> None:
    assert read_worker(chart.render())["volumes"] == []


def test_two_sources_of_models_are_refused(chart: Chart) -> None:
    words = chart.refuse("worker.modelSource.volumeClaim=whisper", "worker.modelSource.hostPath=/srv/models")
    assert "worker.modelSource is one of" in words


def test_every_program_trusts_s3_by_the_same_certificates(full: list[Manifest]) -> None:
    pods = [pod_of(full, part)["spec"] for part in ("api", "controller")]
    worker = read_worker(full)
    for pod, container in [*((pod, pod["containers"][0]) for pod in pods), (worker, worker)]:
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "trust"]
        (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "trust"]
        (file,) = [entry["value"] for entry in container["env"] if entry["name"] == "AWS_CA_BUNDLE"]
        assert volume["secret"] == {"secretName": "s3-ca", "items": [{"key": "bundle.pem", "path": "ca.crt"}]}
        assert file == f"{mount['mountPath']}/ca.crt"


def test_certificates_may_lie_in_a_config_map_but_not_in_both(chart: Chart) -> None:
    pod = read_worker(render(chart, "s3.caBundle.configMap=ca"))
    items = [{"key": "ca.crt", "path": "ca.crt"}]
    assert pod["volumes"] == [{"name": "trust", "configMap": {"name": "ca", "items": items}}]
    assert "not both" in chart.refuse("s3.caBundle.configMap=ca", "s3.caBundle.secret=ca")


def jobs_of(objects: list[Manifest]) -> list[Manifest]:
    return [found for found in objects if found["kind"] == "Job"]


def test_a_job_fills_the_claim_that_workers_read(full: list[Manifest]) -> None:
    (job,) = jobs_of(full)
    pod, (container,) = job["spec"]["template"]["spec"], job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == read_worker(full)["image"]
    assert container["command"] == ["python3", "-m", "worker.warm_up", "/claim"]
    assert container["args"] == ["turbo", "large-v3"]
    (extra,) = container["env"]
    assert extra in read_worker(full)["env"], "it goes to the internet by the same proxy"
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in pod["volumes"]
    assert {"name": "models", "mountPath": "/claim"} in container["volumeMounts"]


def test_the_job_for_models_is_as_restricted_as_the_others(full: list[Manifest]) -> None:
    (job,) = jobs_of(full)
    pod, (container,) = job["spec"]["template"]["spec"], job["spec"]["template"]["spec"]["containers"]
    api = pod_of(full, "api")["spec"]
    assert pod["securityContext"] == api["securityContext"]
    assert container["securityContext"] == api["containers"][0]["securityContext"]
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)


def test_another_job_is_made_when_the_list_of_models_changes(chart: Chart) -> None:
    claim = "worker.modelSource.volumeClaim=whisper"
    settings = ("worker.warmUp={tiny}", "worker.warmUp={tiny}", "worker.warmUp={base}")
    first, again, other = (
        job["metadata"]["name"] for setting in settings for job in jobs_of(render(chart, claim, setting))
    )
    assert first == again != other


def test_another_job_is_made_when_its_pod_would_change_since_a_job_cannot(chart: Chart) -> None:
    wanted = ("worker.modelSource.volumeClaim=whisper", "worker.warmUp={tiny}")
    settings = ("worker.model=tiny", "worker.resources.limits.memory=8Gi", "commonLabels.cost=media")
    names = {job["metadata"]["name"] for setting in settings for job in jobs_of(render(chart, *wanted, setting))}
    assert len(names) == len(settings)


def test_a_model_that_nobody_knows_is_not_tried_again(full: list[Manifest]) -> None:
    (job,) = jobs_of(full)
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [ExitCode.MODEL_UNKNOWN])


def test_models_without_a_claim_to_keep_them_are_refused(chart: Chart) -> None:
    assert "needs worker.modelSource.volumeClaim" in chart.refuse("worker.warmUp={tiny}")
