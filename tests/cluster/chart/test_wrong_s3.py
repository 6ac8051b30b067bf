"""An S3 that cannot be used: no pod gets ready, and what the installer reads leads to the reason."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.support.helm import CHART, HELM, Release, build_values, open_place, words_for
from tests.support.kubectl import Kubectl
from tests.support.waiting import wait_for

KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
COMMAND = re.compile(r"^  kubectl -n \S+ (logs \S+) \| grep '(.+)'$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """A release's name, what is wrong with it, and the words that tell."""

    name: str
    setting: str
    words: tuple[str, ...]


CASES = (
    Case("no-bucket", "s3.bucket=elsewhere", ("refuses the bucket elsewhere: NoSuchBucket", "see s3.bucket")),
    Case("wrong-keys", "api.s3Secret=wrong", ("refuses the bucket transcriptions: Inv", "the keys in api.s3Secret")),
    Case("no-s3", "s3.endpoint=http://127.0.0.1:9", ("cannot be reached: ", "127.0.0.1:9/", "see s3.endpoint")),
)


@pytest.fixture
def place(kubectl: Kubectl) -> Iterator[Kubectl]:
    with open_place(kubectl, "wrong", names=[case.name for case in CASES]) as own:
        own.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "wrong"}, "stringData": KEYS})
        yield own


def read_as_told(place: Kubectl, notes: str) -> str:
    """What the command of the notes prints."""
    found = COMMAND.search(notes)
    assert found, notes
    log = place.run(*found[1].split())
    return "\n".join(line for line in log.splitlines() if found[2] in line)


def is_running(place: Kubectl, release: str) -> bool:
    """Whether the container of its API has been started, so that there is a log."""
    pods = place.list("pod", f"app.kubernetes.io/instance={release}")
    states = [status.get("state", {}) for pod in pods for status in pod["status"].get("containerStatuses", ())]
    return any("running" in state for state in states)


def is_ready(place: Kubectl, deployment: str) -> bool:
    found = place.get("deployment", deployment)
    assert found is not None
    return bool(found["status"].get("readyReplicas"))


def test_the_notes_lead_to_the_reason_when_s3_cannot_be_used(kubectl: Kubectl, place: Kubectl) -> None:
    values = (*build_values(kubectl), *words_for("controller.replicas=0", "flowControl.enabled=false"))
    cases = {case: Release(HELM, place, case.name, (*values, *words_for(case.setting))) for case in CASES}
    notes = {case: release.begin(CHART) for case, release in cases.items()}
    for case in CASES:
        deployment = f"{case.name}-api"
        wait_for(partial(is_running, place, case.name), 60, f"{deployment} runs")
        said = wait_for(partial(read_as_told, place, notes[case]), 30, f"{deployment} says why")
        assert [word for word in case.words if word not in said] == [], said
        assert not is_ready(place, deployment)
