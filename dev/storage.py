"""The S3 server in the cluster: versitygw, its accounts, the bucket with CORS and rights. Called by the commands."""

import json
import string
from pathlib import Path

from dev import binaries, cluster, kubectl, process, s3_request, state, versions
from dev.docker import wait
from dev.keys import ACCOUNTS, Keys

FOLDER = Path(__file__).parent / "s3"


class StorageError(Exception):
    """The S3 server does not answer."""


def install(keys: Keys, image: str) -> None:
    """Bring the S3 server up and make it what the release expects."""
    apply_server(keys, image)
    for name in ACCOUNTS:
        ensure_account(keys, name)
    ensure_bucket(keys)


def apply_server(keys: Keys, image: str) -> None:
    """Run the server and wait until it answers on the host."""
    text = string.Template((FOLDER / "server.yaml").read_text()).substitute(
        IMAGE=image,
        USER=cluster.s3_user(),
        REGION=versions.S3_REGION,
        NODE_PORT=versions.S3_NODE_PORT,
        KEY_DIGEST=state.digest([], keys.root.secret_key),
    )
    kubectl.apply_namespace("s3")
    root = {"ROOT_ACCESS_KEY": keys.root.access_key, "ROOT_SECRET_KEY": keys.root.secret_key}
    kubectl.apply_secret("s3", "root", root)
    kubectl.apply(text)
    kubectl.output("-n", "s3", "rollout", "status", "deployment/s3", "--timeout=120s")
    if not wait(lambda: answers(keys), 30):
        raise StorageError(f"{versions.S3_ENDPOINT} does not answer: see kubectl -n s3 logs deployment/s3")


def answers(keys: Keys) -> bool:
    """Whether the root account can list buckets from the host."""
    try:
        s3_request.send(keys.root, "GET", "/")
    except (OSError, s3_request.S3Error):
        return False
    return True


def ensure_account(keys: Keys, name: str) -> None:
    """Create an account, or give the one that is there this machine's key."""
    account = keys.accounts[name]
    words = ["--access", account.access_key, "--secret", account.secret_key]
    if account.access_key in admin(keys, "list-users"):
        admin(keys, "update-user", *words)
    else:
        admin(keys, "create-user", *words, "--role", "user")


def admin(keys: Keys, *words: str) -> str:
    """Run an administration command of the S3 server."""
    env = process.environment(ADMIN_ACCESS_KEY=keys.root.access_key, ADMIN_SECRET_KEY=keys.root.secret_key)
    program = binaries.path(binaries.VERSITYGW)
    return process.output(program, "admin", "--endpoint-url", versions.S3_ENDPOINT, *words, env=env)


def ensure_bucket(keys: Keys) -> None:
    """Create the bucket when it is missing, and set its CORS rule and rights."""
    path = f"/{versions.BUCKET}"
    if f"<Name>{versions.BUCKET}</Name>" not in s3_request.send(keys.root, "GET", "/").decode():
        s3_request.send(keys.root, "PUT", path)
    s3_request.send(keys.root, "PUT", path, "cors", (FOLDER / "cors.xml").read_bytes())
    s3_request.send(keys.root, "PUT", path, "policy", json.dumps(build_policy(keys)).encode())


def build_policy(keys: Keys) -> dict[str, object]:
    """Who may do what in the bucket: each component only what it needs."""
    bucket = f"arn:aws:s3:::{versions.BUCKET}"
    api, controller, worker = (keys.accounts[name].access_key for name in ACCOUNTS)
    read, write, delete = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
    rules: list[tuple[str, list[str], str]] = [
        (api, ["s3:ListBucket"], bucket),
        (api, [read, write], f"{bucket}/videos/*"),
        (api, [read, write, delete], f"{bucket}/callbacks/*"),
        (api, [read, delete], f"{bucket}/transcripts/*"),
        (worker, ["s3:ListBucket"], bucket),
        (worker, [read], f"{bucket}/videos/*"),
        (worker, [read, write], f"{bucket}/transcripts/*"),
        (worker, [delete], f"{bucket}/transcripts/*/checkpoint.json.gz"),
        (controller, ["s3:ListBucket"], bucket),
        (controller, [read, delete], f"{bucket}/transcripts/*"),
    ]
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": [who]}, "Action": actions, "Resource": where}
        for who, actions, where in rules
    ]
    return {"Version": "2012-10-17", "Statement": statements}
