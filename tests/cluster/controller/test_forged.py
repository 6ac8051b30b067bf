"""A worker's own token changes nothing but its own progress, result and callback, whatever is tried with it."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import jwt
import pytest

from crds.transcriptionjob import PLURAL, SETTLED_LABEL
from tests.support.admin import Admin, connect
from tests.support.arena import Arena
from tests.support.forgeries import FORGERIES, Attacker, protect
from tests.support.kubectl import Kubectl
from tests.support.processes import read_in_process
from tests.support.speech import Speech
from tests.support.transcriptions import Transcriptions, an_id, is_final, is_transcribing, status_of
from tests.support.waiting import wait_for
from tests.support.words import assert_same_words
from tests.support.worker_writes import Worker, WorkerDoor, build_client

LEEWAY_SECONDS = 60
"""How far the API server takes clocks to differ."""

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


@pytest.fixture(scope="module")
def attacker(arena: Arena) -> Attacker:
    """The worker of one that runs, beside another one that runs."""
    name, other = arena.ask("evil"), arena.ask("victim")
    pod, other_pod = arena.run(name), arena.run(other)
    worker = arena.a_worker_in(name, pod)
    assert arena.door.report(worker, {"progress": worker.progress(percent=10)}).status_code == 200
    return Attacker(worker, arena.a_worker_in(other, other_pod), pod["metadata"]["name"])


@pytest.mark.parametrize("forgery", FORGERIES)
def test_nothing_changes_when_a_worker_forges(arena: Arena, attacker: Attacker, forgery: str) -> None:
    names = (attacker.worker.name, attacker.other.name)
    before = [protect(arena.admin.get(PLURAL, name)) for name in names]
    answer = FORGERIES[forgery].send(arena.door.client, attacker)
    assert answer.is_client_error or FORGERIES[forgery].harmless, answer.text
    assert [protect(arena.admin.get(PLURAL, name)) for name in names] == before


@pytest.mark.parametrize("suffix", ["-b", "-1", "-1-1"])
def test_a_worker_writes_nothing_to_a_namesake(arena: Arena, suffix: str) -> None:
    name = an_id("a")
    for asked in (name, name + suffix):
        arena.ask(name=asked)
    worker, other = (arena.a_worker_in(asked, arena.run(asked)) for asked in (name, name + suffix))
    for evil, victim in ((worker, other), (other, worker)):
        for lie in (evil.progress(), victim.progress(), replace(victim, pod_uid=evil.pod_uid).progress()):
            answer = arena.door.patch(evil.token, victim.name, {"status": {"progress": lie}})
            assert answer.status_code == 403, answer.text
        assert arena.read(victim.name).status.progress is None


def test_a_worker_writes_nothing_after_the_end(arena: Arena) -> None:
    name = arena.ask("ended")
    pod = arena.run(name)
    worker = arena.a_worker_in(name, pod)
    arena.finish(name, pod)
    arena.until_settled(name)
    wait_for(lambda: SETTLED_LABEL in arena.read(name).labels, 10, "it has left the watch")
    before = arena.admin.get(PLURAL, name)
    for lie in (
        {"progress": worker.progress(percent=100)},
        {"result": worker.result()},
        {"callback": worker.callback()},
    ):
        answer = arena.door.report(worker, lie)
        assert answer.status_code == 403, answer.text
    assert arena.admin.get(PLURAL, name) == before


def test_a_worker_of_another_attempt_writes_nothing(arena: Arena) -> None:
    name = arena.ask("attempts")
    first = arena.a_worker_in(name, arena.run(name))
    pod = arena.wait_for_pod(name)
    arena.node.end(pod, 96)
    second = arena.a_worker_in(name, arena.run(name, 2))
    for lie in (first.progress(), second.progress(), replace(second, pod_uid=first.pod_uid).progress()):
        answer = arena.door.report(first, {"progress": lie})
        assert answer.status_code == 403, answer.text
    assert arena.door.report(second, {"progress": second.progress(percent=1)}).status_code == 200


def test_a_report_about_nobody_is_not_found(arena: Arena, attacker: Attacker) -> None:
    worker = replace(attacker.worker, name="nobody")
    answer = arena.door.report(worker, {"progress": worker.progress()})
    assert answer.status_code == 404, answer.text
    assert arena.admin.get(PLURAL, "nobody") is None


def test_an_empty_report_keeps_the_last_one(arena: Arena, attacker: Attacker) -> None:
    before = arena.admin.get(PLURAL, attacker.worker.name)
    for empty in ({"metadata": {}}, {"status": {}}, {"status": {"progress": {}}}):
        answer = arena.door.patch(attacker.worker.token, attacker.worker.name, empty)
        assert answer.status_code == 200, answer.text
    assert arena.admin.get(PLURAL, attacker.worker.name) == before


def test_a_report_overwrites_what_it_names_and_takes_back_what_it_says_is_gone(arena: Arena) -> None:
    name = arena.ask("overwrites")
    worker = arena.a_worker_in(name, arena.run(name))
    arena.door.report(worker, {"progress": worker.progress(percent=10, etaSeconds=90, stage="Transcribing")})
    answer = arena.door.report(worker, {"progress": worker.progress(percent=20, etaSeconds=None)})
    assert answer.status_code == 200, answer.text
    progress = arena.read(name).status.progress
    assert progress is not None
    assert (progress.percent, progress.eta_seconds, progress.stage) == (20, None, "Transcribing")


@pytest.mark.parametrize("token", ["none", "{token}x"])
def test_a_token_that_is_none_is_refused(arena: Arena, attacker: Attacker, token: str) -> None:
    worker = replace(attacker.worker, token=token.format(token=attacker.worker.token))
    answer = arena.door.report(worker, {"progress": worker.progress(percent=11)})
    assert answer.status_code in (401, 403), answer.text


def test_a_token_is_refused_when_its_time_is_over(arena: Arena, attacker: Attacker) -> None:
    """Signed with the cluster's own key, because the API server makes none that ends within minutes."""
    key = read_in_process("kube-apiserver", "/etc/kubernetes/pki/sa.key")
    claims = jwt.decode(attacker.worker.token, options={"verify_signature": False})
    header = {"kid": jwt.get_unverified_header(attacker.worker.token)["kid"]}

    def report(seconds_left: int) -> int:
        times = {"iat": now - 600, "nbf": now - 600, "exp": now + seconds_left}
        worker = replace(attacker.worker, token=jwt.encode({**claims, **times}, key, "RS256", header))
        return arena.door.report(worker, {"progress": worker.progress(percent=20)}).status_code

    now = int(datetime.now(UTC).timestamp())
    assert report(60) == 200
    assert report(-LEEWAY_SECONDS - 1) == 401


@pytest.fixture
def release(kubectl: Kubectl) -> Iterator[tuple[Admin, WorkerDoor]]:
    """The namespace where real workers run."""
    with connect(kubectl) as client, build_client(kubectl) as nobody:
        yield Admin(client, kubectl.namespace), WorkerDoor(nobody, kubectl, "transcription-worker")


def test_nothing_changes_when_the_token_of_a_real_worker_is_stolen(
    transcriptions: Transcriptions, talk: Speech, release: tuple[Admin, WorkerDoor]
) -> None:
    admin, door = release
    name, victim = an_id("robbed"), an_id("victim")
    transcriptions.create(victim, "videos/anonymous/none.mp4", suspend=True)
    with transcriptions.watch(name) as watch:
        transcriptions.start(name, talk.mp3, engine="quality")
        watch.until(is_transcribing(1), 60, "it is transcribed")
        attacker = steal(transcriptions, name, victim)
        names = (name, victim)
        before = [protect(admin.get(PLURAL, asked)) for asked in names]
        succeeded = [
            shape
            for shape, forgery in FORGERIES.items()
            if not forgery.send(door.client, attacker).is_client_error and not forgery.harmless
        ]
        after = [protect(admin.get(PLURAL, asked)) for asked in names]
        end = status_of(watch.until(is_final, 180, "it is final"))
    assert len(FORGERIES) >= 20
    assert succeeded == []
    assert after == before
    assert end.state == "Succeeded"
    assert_same_words(talk.text, transcriptions.output(name, "txt").decode(), tolerance=0.01)
    late = door.report(attacker.worker, {"progress": attacker.worker.progress(percent=100)})
    assert late.status_code == 403, late.text


def steal(transcriptions: Transcriptions, name: str, victim: str) -> Attacker:
    """Out of the running pod."""
    [pod] = transcriptions.pods(name)
    token = transcriptions.kubectl.run("exec", pod["metadata"]["name"], "--", "cat", TOKEN).strip()
    namespace = transcriptions.kubectl.namespace
    robbed, other = transcriptions.read(name), transcriptions.read(victim)
    worker = Worker(namespace, name, robbed.uid, pod["metadata"]["uid"], token)
    return Attacker(worker, Worker(namespace, victim, other.uid, str(uuid.uuid4()), token), pod["metadata"]["name"])
