"""What each account of the release may do, and each person, by the API server's own answer: two lists for each."""

import json
from collections.abc import Iterator

import pytest

from tests.support.kubectl import Kubectl, Manifest
from tests.support.namespaces import open_namespace

GROUPS = {
    "transcriptionjobs": "transcription.ecg.dev",
    "jobs": "batch",
    "leases": "coordination.k8s.io",
    "events.events.k8s.io": "events.k8s.io",
    "roles": "rbac.authorization.k8s.io",
    "rolebindings": "rbac.authorization.k8s.io",
    "deployments": "apps",
}
NAMES = {"leases": "transcription-controller"}
ALL = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
OTHERS = [f"get {kind}" for kind in ("secrets", "configmaps", "nodes", "serviceaccounts/token")]
TAKING_OVER = ["create pods", "create pods/exec", "create rolebindings", "patch roles", "patch deployments"]


def each(verbs: str, *resources: str) -> list[str]:
    return [f"{verb} {resource}" for resource in resources for verb in verbs.split()]


def all_but(verbs: str, resource: str) -> list[str]:
    return each(" ".join(verb for verb in ALL if verb not in verbs.split()), resource)


ALLOWED = {
    "api": each("get list watch create patch delete", "transcriptionjobs"),
    "controller": [
        *each("get list watch patch delete", "transcriptionjobs"),
        *each("patch", "transcriptionjobs/status"),
        *each("update", "transcriptionjobs/finalizers"),
        *each("get list watch create patch delete", "jobs"),
        *each("list", "pods", "events"),
        *each("create", "events.events.k8s.io"),
        *each("get update create", "leases"),
    ],
    "worker": ["patch transcriptionjobs/status"],
    "viewer": [*each("get list watch", "transcriptionjobs"), "get transcriptionjobs/status"],
    "editor": [*each(" ".join(ALL), "transcriptionjobs"), "get transcriptionjobs/status"],
    "admin": [*each(" ".join(ALL), "transcriptionjobs"), "get transcriptionjobs/status"],
}
FORBIDDEN = {
    "api": [
        *all_but("get list watch create patch delete", "transcriptionjobs"),
        *each(" ".join(ALL), "transcriptionjobs/status", "jobs", "pods", "leases"),
        *OTHERS,
        *TAKING_OVER,
    ],
    "controller": [
        *all_but("get list watch patch delete", "transcriptionjobs"),
        *all_but("patch", "transcriptionjobs/status"),
        *all_but("get list watch create patch delete", "jobs"),
        *all_but("list", "pods"),
        *all_but("list", "events"),
        *all_but("get update create", "leases"),
        *OTHERS,
        *TAKING_OVER,
    ],
    "worker": [
        *each(" ".join(ALL), "transcriptionjobs", "jobs", "pods", "leases"),
        *all_but("patch", "transcriptionjobs/status"),
        *OTHERS,
        *TAKING_OVER,
    ],
    "viewer": [
        *all_but("get list watch", "transcriptionjobs"),
        *all_but("get", "transcriptionjobs/status"),
        "get secrets",
        *TAKING_OVER,
    ],
    "editor": [*all_but("get", "transcriptionjobs/status"), "create rolebindings", "patch roles"],
    "admin": all_but("get", "transcriptionjobs/status"),
}
Question = tuple[str, str]
"""Who, and a line of the tables."""

PEOPLE = {"viewer": "view", "editor": "edit", "admin": "admin"}


@pytest.fixture(scope="module")
def team(kubectl: Kubectl) -> Iterator[Kubectl]:
    """A namespace of this module's own, where three users hold view, edit and admin."""
    with open_namespace(kubectl, "people") as door:
        for person, role in PEOPLE.items():
            door.run("create", "rolebinding", person, f"--clusterrole={role}", f"--user={user_of(door, person)}")
        yield door


@pytest.fixture(scope="module")
def answers(kubectl: Kubectl, team: Kubectl) -> dict[Question, bool]:
    """What the API server answers to every line of the tables, all asked at once."""
    lines = [(who, line) for table in (ALLOWED, FORBIDDEN) for who in table for line in table[who]]
    reviews = [build_review(team if who in PEOPLE else kubectl, who, line) for who, line in lines]
    asked = json.dumps({"apiVersion": "v1", "kind": "List", "items": reviews})
    text = kubectl.run("create", "--filename", "-", "--output", "json", stdin=asked)
    given = [review["status"]["allowed"] for review in read_all(text)]
    return dict(zip(lines, given, strict=True))


def read_all(text: str) -> Iterator[Manifest]:
    """The documents that kubectl prints one behind the other."""
    at = 0
    while at < len(text):
        document, at = json.JSONDecoder().raw_decode(text, at)
        yield document
        at += len(text[at:]) - len(text[at:].lstrip())


def user_of(door: Kubectl, who: str) -> str:
    if who in PEOPLE:
        return f"{who}.{door.namespace}"
    return f"system:serviceaccount:{door.namespace}:transcription-{who}"


def build_review(door: Kubectl, who: str, line: str) -> Manifest:
    """The question whether that account may do that in the namespace of the door."""
    verb, _, resource = line.partition(" ")
    kind, _, part = resource.partition("/")
    wanted = {
        "namespace": door.namespace,
        "verb": verb,
        "group": GROUPS.get(kind, ""),
        "resource": kind.partition(".")[0],
        "subresource": part,
        "name": NAMES.get(kind, "") if verb in ("get", "update") else "",
    }
    spec = {"user": user_of(door, who), "resourceAttributes": wanted}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


@pytest.mark.parametrize("who", ALLOWED)
def test_an_account_may_do_what_it_is_for(answers: dict[Question, bool], who: str) -> None:
    assert [line for line in ALLOWED[who] if not answers[who, line]] == []


@pytest.mark.parametrize("who", FORBIDDEN)
def test_an_account_may_do_nothing_else(answers: dict[Question, bool], who: str) -> None:
    assert [line for line in FORBIDDEN[who] if answers[who, line]] == []


def test_the_controller_may_not_change_the_lease_of_another(kubectl: Kubectl) -> None:
    review = build_review(kubectl, "controller", "update leases")
    review["spec"]["resourceAttributes"]["name"] = "kopf"
    assert kubectl.create(review)["status"]["allowed"] is False
