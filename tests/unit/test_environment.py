"""What the controller puts into the worker's environment is what the worker's settings read."""

from controller.job_builder import build_job
from controller.settings import ControllerSettings
from crds.transcriptionjob import Transcription
from crds.worker import WorkerTask
from tests.support.manifests import a_manifest
from worker.settings import WorkerSettings
from worker.sound import BYTES_PER_SECOND

SPECTROGRAM_BYTES_PER_SECOND = 128 * 100 * 4
LARGEST_MODEL_BYTES = 3_100_000_000


def some_settings() -> ControllerSettings:
    return ControllerSettings.model_validate(
        {
            "namespace": "transcription",
            "s3_bucket": "media",
            "s3_endpoint": "http://s3:9000",
            "callback_secret_name": "signing",
            "callback_url": "http://scribe-api.media.svc:8080/api/upload-video/result",
            "worker_image": "worker:1",
            "worker_service_account": "worker",
            "worker_s3_secret": "s3-worker",
        }
    )


def test_every_variable_of_the_worker_is_one_of_its_settings() -> None:
    job = build_job(Transcription.parse(a_manifest()), 1, some_settings())
    container = job["spec"]["template"]["spec"]["containers"][0]
    given = {entry["name"] for entry in container["env"] if entry["name"].startswith("WORKER_")}
    known = {f"WORKER_{name}".upper() for name in WorkerSettings.model_fields}
    assert given - known == set()
    left_to_defaults = {"WORKER_MODEL_DIR", "WORKER_MAX_INPUT_BYTES", "WORKER_MAX_AUDIO_SECONDS", "WORKER_SANDBOX"}
    assert known - given == left_to_defaults


def test_the_worker_reads_its_task_as_the_controller_wrote_it() -> None:
    prompt = 'names: 김, "Ann" and $(AWS_SECRET_ACCESS_KEY)'
    job = build_job(Transcription.parse(a_manifest(initialPrompt=prompt)), 1, some_settings())
    env = {e["name"]: e.get("value") for e in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert "$" not in env["WORKER_TASK"], "the kubelet would put another variable's value in its place"
    assert WorkerTask.model_validate_json(env["WORKER_TASK"]).initial_prompt == prompt


def test_the_scratch_volume_holds_what_a_worker_may_put_there() -> None:
    volumes = build_job(Transcription.parse(a_manifest()), 1, some_settings())["spec"]["template"]["spec"]["volumes"]
    limit = next(volume["emptyDir"]["sizeLimit"] for volume in volumes if volume["name"] == "scratch")
    most = {name: WorkerSettings.model_fields[name].default for name in ("max_input_bytes", "max_audio_seconds")}
    of_sound = most["max_audio_seconds"] * (BYTES_PER_SECOND + SPECTROGRAM_BYTES_PER_SECOND)
    assert most["max_input_bytes"] + of_sound + LARGEST_MODEL_BYTES < int(limit.removesuffix("Gi")) << 30
