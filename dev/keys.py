"""The secrets of the dev install: made once, kept in the machine's state, handed to the cluster.

Called by the commands.
"""

import base64
import json
import secrets
from dataclasses import dataclass

from dev import kubectl, state, versions

ACCOUNTS = ("api", "controller", "worker")


@dataclass(frozen=True)
class Account:
    """An account of the S3 server."""

    access_key: str
    secret_key: str

    def variables(self) -> dict[str, str]:
        """The account as the environment of an S3 client."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}


@dataclass(frozen=True)
class Keys:
    """All secrets of one machine."""

    accounts: dict[str, Account]
    callback_secret: str

    @property
    def root(self) -> Account:
        return self.accounts["root"]


def load() -> Keys:
    """Read this machine's secrets; make them when there are none."""
    path = state.directory() / "keys.json"
    if not path.exists():
        state.write_private(path, json.dumps(generate(), indent=1))
    stored = json.loads(path.read_text())
    return Keys({name: Account(*pair) for name, pair in stored["accounts"].items()}, stored["callback"])


def generate() -> dict[str, object]:
    """New random secrets. The names of the accounts are their access keys, since bucket policies name them."""
    accounts = {name: (f"dev-{name}", secrets.token_urlsafe(30)) for name in ("root", *ACCOUNTS)}
    return {"accounts": accounts, "callback": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()}


def install(keys: Keys) -> None:
    """Create the namespace of the release with the Secrets that the chart names."""
    kubectl.apply_namespace(versions.NAMESPACE)
    for name in ACCOUNTS:
        kubectl.apply_secret(versions.NAMESPACE, f"s3-{name}", keys.accounts[name].variables())
    kubectl.apply_secret(versions.NAMESPACE, "callback-signing", {"secret": keys.callback_secret})


def publish(keys: Keys) -> None:
    """Give this checkout the S3 server's root account, for tests."""
    variables = {**keys.root.variables(), "S3_ENDPOINT": versions.S3_ENDPOINT, "S3_BUCKET": versions.BUCKET}
    text = "".join(f"{name}={value}\n" for name, value in variables.items())
    state.write_private(state.local("s3.env"), text)
