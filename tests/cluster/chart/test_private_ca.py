"""S3 behind the certificate of a private authority: every program trusts it by the bundle, and says so without."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crds.transcriptionjob import State
from tests.cluster.conftest import BUCKET
from tests.support import tls_front
from tests.support.bucket import Bucket
from tests.support.certificates import sign_for
from tests.support.helm import CHART, HELM, RELEASE, Release, build_values, open_place, read_images, words_for
from tests.support.kubectl import Kubectl
from tests.support.policies import LOCKED
from tests.support.service import Service
from tests.support.speech import Speech
from tests.support.transcriptions import TJ, Transcriptions
from tests.support.waiting import wait_for
from tests.support.words import assert_same_words

NAME, PORT = "s3-front", 9443
BEHIND = ("s3.s3.svc.cluster.local", "9000")
MOUNT = Path("/srv/front")


@dataclass(frozen=True)
class Front:
    """The dev cluster's S3 behind TLS, in a namespace that has its authority in the ConfigMap `ca`."""

    place: Kubectl
    endpoint: str


@pytest.fixture
def front(kubectl: Kubectl) -> Iterator[Front]:
    with open_place(kubectl, "tls") as place:
        host = f"{NAME}.{place.namespace}.svc"
        signed = sign_for(host)
        files = {"front.py": Path(tls_front.__file__).read_text(), "tls.pem": signed.certificate + signed.key}
        for kind, name, key, data in (
            ("ConfigMap", "ca", "data", {"bundle.pem": signed.authority}),
            ("Secret", NAME, "stringData", files),
        ):
            place.create({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, key: data})
        place.run("create", "--filename=-", stdin=json.dumps(build_front(read_images(kubectl)["api"])))
        place.wait(f"pod/{NAME}", "condition=Ready", 60)
        yield Front(place, f"https://{host}:{PORT}")


def build_front(image: str) -> dict[str, object]:
    """The pod and its Service."""
    command = ["python3", f"{MOUNT}/front.py", str(PORT), f"{MOUNT}/tls.pem", *BEHIND]
    container = {
        "name": "front",
        "image": image,
        "command": command,
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "securityContext": LOCKED,
        "volumeMounts": [{"name": "files", "mountPath": str(MOUNT)}],
    }
    spec = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "files", "secret": {"secretName": NAME}}],
        "terminationGracePeriodSeconds": 0,
    }
    metadata = {"name": NAME, "labels": {"app": NAME}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    service_spec = {"selector": {"app": NAME}, "ports": [{"port": PORT}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service_spec}
    return {"apiVersion": "v1", "kind": "List", "items": [pod, service]}


@pytest.fixture
def made(front: Front, transcriptions: Transcriptions) -> Transcriptions:
    """Transcriptions of that namespace; the files are cleared with the test's others."""
    return transcriptions.at(front.place)


@pytest.mark.soak
def test_every_program_works_with_the_bundle_and_says_what_is_missing_without_it(
    kubectl: Kubectl, front: Front, made: Transcriptions, bucket: Bucket, clip: Speech
) -> None:
    place, settings = front.place, (f"s3.endpoint={front.endpoint}", "s3.publicEndpoint=")
    release = Release(HELM, place, RELEASE, (*build_values(kubectl), *words_for(*settings)))
    release.begin(CHART)
    said = wait_for(lambda: read_complaint(place), 60, "the API says why it is not ready")
    assert "CERTIFICATE_VERIFY_FAILED" in said
    assert "see s3.caBundle" in said

    release.upgrade(CHART, *words_for("s3.caBundle.configMap=ca", "s3.caBundle.key=bundle.pem"))
    assert "ok      S3: signed PUT, GET and DELETE" in release.test()
    with place.forward(f"service/{RELEASE}-api", 8080) as url:
        service = Service(url)
        ticket = service.generate_url("talk.wav", "audio/wav")
        service.close()
    assert ticket["upload_url"].startswith(f"{front.endpoint}/{BUCKET}/")

    key = made.store(clip.wav, "clip.wav")
    made.create("talk", key, resources={"gpu": 0}, deleteOutputs=True)
    end = made.wait_until_finished("talk", 120)
    assert end.status.state is State.SUCCEEDED
    assert_same_words(clip.text, made.output("talk", "txt").decode())

    stored = bucket.list(f"transcripts/{place.namespace}/talk/")
    place.run("delete", TJ, "talk", "--timeout=60s")
    assert stored
    assert bucket.list(f"transcripts/{place.namespace}/talk/") == [], "the controller deletes files by the same bundle"


def read_complaint(place: Kubectl) -> str:
    """What the API logs about not being ready, as soon as it does."""
    pods = place.list("pod", f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=api")
    started = [s for pod in pods for s in pod["status"].get("containerStatuses", ()) if "running" in s["state"]]
    log = place.run("logs", f"deployment/{RELEASE}-api") if started else ""
    return "\n".join(line for line in log.splitlines() if "not ready" in line)
