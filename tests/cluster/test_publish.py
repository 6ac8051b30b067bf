"""The worker's door to S3 against the real server: of pods that publish at once one wins, and all take its words."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.cluster.conftest import BUCKET, DEV, S3_URL
from tests.support.bucket import Bucket, build_client, read_env
from worker.checkpoint import Checkpoints, State
from worker.publish import Store

PODS = 8
ROUNDS = 10


@pytest.fixture
def folder(bucket: Bucket) -> Iterator[str]:
    prefix = f"transcripts/tests/{secrets.token_hex(4)}/"
    yield prefix
    bucket.delete(*bucket.list(prefix))


@pytest.fixture(scope="module")
def store() -> Store:
    env = read_env(DEV / "s3.env")
    return Store(build_client(S3_URL, env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]), BUCKET)


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_one_transcript_stands_when_many_are_published_at_once(
    turn: int, folder: str, store: Store, bucket: Bucket
) -> None:
    start, key = Barrier(PODS), f"{folder}transcript.json"

    def publish(pod: int) -> bytes:
        body = f"{turn} {pod}".encode() * 5000
        start.wait(10)
        return store.publish(key, body, "application/json")

    with ThreadPoolExecutor(PODS) as pods:
        seen = set(pods.map(publish, range(PODS)))
    assert seen == {bucket.read(key)}


def test_a_checkpoint_comes_back_and_goes(folder: str, store: Store, bucket: Bucket) -> None:
    key, state = f"{folder}checkpoint.json.gz", State(30.0, [{"text": " Hello."}], {"prompt": [1]})
    checkpoints = Checkpoints(store, key)
    checkpoints.open("work")
    assert checkpoints.load() is None
    checkpoints.save(state)
    checkpoints.flush()
    assert checkpoints.load() == state
    checkpoints.discard()
    assert bucket.list(folder) == []
