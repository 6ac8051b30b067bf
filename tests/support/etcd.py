"""The dev cluster's etcd in an operator's hands: a backup is taken, and the whole cluster put back to it."""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from dev import docker, versions
from dev.process import ProgramError
from tests.support.speech import ROOT
from tests.support.waiting import wait_for

TOOLS = ("etcdctl", "etcdutl")
PLACE = "/usr/local/bin"
DATA = "/var/lib/etcd"
BACKUP, RESTORED = "/var/lib/etcd-backup.db", "/var/lib/etcd-restored"
KEYS = "/etc/kubernetes/pki/etcd"
STORE = ("etcd", "kube-apiserver")
WATCHERS = ("kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns")
BUMP = ("--bump-revision=1000000", "--mark-compacted")
"""As etcd's guide has it: versions go on rising, and every watch of before is told that it is too old."""


class Etcd:
    """One member, in a static pod of the dev node. Use `the_etcd`."""

    def __init__(self, engine: docker.Docker) -> None:
        self._engine = engine

    def back_up(self) -> None:
        """Keep all that the cluster knows at this moment."""
        door = ("--endpoints=https://127.0.0.1:2379", f"--cacert={KEYS}/ca.crt")
        me = (f"--cert={KEYS}/server.crt", f"--key={KEYS}/server.key")
        self._run("rm", "-f", BACKUP)
        self._run(f"{PLACE}/etcdctl", *door, *me, "snapshot", "save", BACKUP)

    def pass_versions(self, count: int) -> None:
        """Have so many versions go by, as in some minutes of a busy cluster."""
        keys = ("--cacert", f"{KEYS}/ca.crt", "--cert", f"{KEYS}/server.crt", "--key", f"{KEYS}/server.key")
        body = json.dumps({"key": base64.b64encode(b"/passed").decode(), "value": ""})
        url = f"https://127.0.0.1:2379/v3/kv/put?[1-{count}]"
        self._run("curl", "--silent", "--fail", "--parallel", *keys, "--data", body, "--output", "/dev/null", url)

    def roll_back(self, *options: str) -> None:
        """Put the cluster back to the backup, as after the loss of its disk.

        With BUMP all watches start anew by themselves. Without it a watch of before waits for versions that are long
        to come; therefore all parts of Kubernetes that watch are killed too, as etcd's guide wants it. Ours are not.
        """
        self._run("systemctl", "stop", "kubelet")
        try:
            self._kill(STORE if options else (*STORE, *WATCHERS))
            self._restore(options)
        finally:
            self._run("systemctl", "start", "kubelet")

    def put_tools(self) -> None:
        """Bring the programs to the node."""
        for tool in TOOLS:
            self._engine.run("cp", ROOT / ".dev/bin" / tool, f"{versions.NODE}:{PLACE}/{tool}")

    def take_away(self) -> None:
        """Remove all that was brought or made."""
        self._run("rm", "-rf", BACKUP, RESTORED, *(f"{PLACE}/{tool}" for tool in TOOLS))

    def _restore(self, options: Iterable[str]) -> None:
        self._run("rm", "-rf", RESTORED)
        who = [word for word in self._flags() if word.startswith(("--name=", "--initial-"))]
        self._run(f"{PLACE}/etcdutl", "snapshot", "restore", BACKUP, f"--data-dir={RESTORED}", *who, *options)
        self._run("rm", "-rf", f"{DATA}/member")
        self._run("mv", f"{RESTORED}/member", f"{DATA}/member")

    def _flags(self) -> list[str]:
        manifest = yaml.safe_load(self._run("cat", "/etc/kubernetes/manifests/etcd.yaml"))
        flags: list[str] = manifest["spec"]["containers"][0]["command"]
        return flags

    def _kill(self, programs: tuple[str, ...]) -> None:
        doomed = self._find_containers(programs)
        for container in doomed & self._find_running():
            self._run("ctr", "-n", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", container)
        wait_for(lambda: not doomed & self._find_running(), 30, "they are gone")

    def _find_containers(self, programs: tuple[str, ...]) -> set[str]:
        lines = [line.split() for line in self._run("ctr", "-n", "k8s.io", "containers", "ls").splitlines()[1:]]
        return {line[0] for line in lines if line[1].rpartition("/")[2].partition(":")[0] in programs}

    def _find_running(self) -> set[str]:
        lines = [line.split() for line in self._run("ctr", "-n", "k8s.io", "tasks", "ls").splitlines()[1:]]
        return {line[0] for line in lines if line[2] == "RUNNING"}

    def _run(self, *words: str | Path) -> str:
        return self._engine.output("exec", versions.NODE, *words)


@contextmanager
def the_etcd() -> Iterator[Etcd]:
    """The dev cluster's; skips where its node cannot be reached."""
    engine = docker.find()
    missing = [tool for tool in TOOLS if not (ROOT / ".dev/bin" / tool).exists()]
    assert not missing, f"{missing} are not in .dev/bin: make soak builds them"
    etcd = Etcd(engine)
    try:
        etcd.put_tools()
    except ProgramError as error:
        pytest.skip(f"the dev node cannot be reached: {error}")
    try:
        yield etcd
    finally:
        etcd.take_away()
