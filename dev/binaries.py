"""Programs built from Go modules, one go.mod per tool. Called by the commands; read by whoever needs a program.

A built program is kept in the machine's state under a key of its go.mod and go.sum, so a second clone builds nothing.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dev import process, state, versions

SERVERS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubeadm")


@dataclass(frozen=True)
class Program:
    """Commands built together from one module file."""

    name: str
    module_file: str
    packages: tuple[str, ...]
    about_seconds: int
    command: str = ""
    """What the build calls it, when that is not its name."""

    def folder(self) -> Path:
        """Where the built commands of this very version lie."""
        module = self.module()
        key = state.digest([module / "go.mod", module / "go.sum"], *self.packages, *flags(self))
        return state.root() / "bin" / module.relative_to(versions.tools()).parent / f"{self.name}-{key}"

    def module(self) -> Path:
        """Where its go.mod lies."""
        return versions.tool_folder(self.module_file)


KIND = Program("kind", "kind", ("sigs.k8s.io/kind",), 15)
KUBECTL = Program("kubectl", "kubernetes", ("k8s.io/kubernetes/cmd/kubectl",), 100)
HELM = Program("helm", "helm", ("helm.sh/helm/v4/cmd/helm",), 60)
HELM3 = Program("helm3", "helm3", ("helm.sh/helm/v3/cmd/helm",), 90, "helm")
VERSITYGW = Program("versitygw", "versitygw", ("github.com/versity/versitygw/cmd/versitygw",), 45)
ETCD = Program("etcd", "etcd", ("go.etcd.io/etcd/server/v3",), 30, "server")
ETCDCTL = Program("etcdctl", "etcd-tools", ("go.etcd.io/etcd/etcdctl/v3",), 45)
ETCDUTL = Program("etcdutl", "etcd-tools", ("go.etcd.io/etcd/etcdutl/v3",), 10)
ACTIONLINT = Program("actionlint", "actionlint", ("github.com/rhysd/actionlint/cmd/actionlint",), 15)
KWOK = Program("kwok", "kwok", ("sigs.k8s.io/kwok/cmd/kwok",), 100)
KUBE_ROUTER = Program("kube-router", "kube-router", ("github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",), 100)
CONTAINERD = Program(
    "containerd",
    "containerd",
    tuple(
        f"github.com/containerd/containerd/v2/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    ),
    90,
)
"""Debian's own is too old for volumes that are images."""

COREDNS = Program("coredns", "coredns", ("github.com/coredns/coredns",), 60)
KUBECONFORM = Program("kubeconform", "kubeconform", ("github.com/yannh/kubeconform/cmd/kubeconform",), 20)
KUBE_SCORE = Program("kube-score", "kube-score", ("github.com/zegl/kube-score/cmd/kube-score",), 45)
KUBERNETES = Program("kubernetes", "kubernetes", tuple(f"k8s.io/kubernetes/cmd/{name}" for name in SERVERS), 330)

BARE = (KUBERNETES, ETCD, COREDNS, CONTAINERD)


def flags(program: Program) -> list[str]:
    """The build's flags; Kubernetes is told its version, which it would otherwise not know."""
    linker = "-s -w"
    if program.module_file == "kubernetes":
        version = versions.kubernetes()
        major, minor = version.lstrip("v").split(".")[:2]
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
            facts = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
            linker += "".join(f" -X {package}.{name}={value}" for name, value in facts.items())
    return ["-trimpath", "-ldflags", linker]


def go_environment() -> dict[str, str]:
    """Go caches of our own, so that they can be dropped without touching the caller's."""
    caches = {
        name: str(state.root() / "go" / {"GOCACHE": "build", "GOMODCACHE": "mod"}[name])
        for name in ("GOCACHE", "GOMODCACHE")
    }
    return process.environment(CGO_ENABLED="0", GOFLAGS="-mod=readonly -modcacherw", GOWORK="off", **caches)


def is_built(program: Program) -> bool:
    """Whether this version of the program is there."""
    return program.folder().exists()


def build(program: Program) -> None:
    """Build beside the final place and rename, so that a killed build leaves nothing that looks whole."""
    folder, fresh = program.folder(), program.folder().with_suffix(f".{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    words = ["go", "build", *flags(program), "-o", f"{fresh}/", *program.packages]
    process.run(*words, cwd=program.module(), env=go_environment())
    fresh.rename(folder)
    drop_older(program)


def drop_older(program: Program) -> None:
    """Remove its other versions; those of the other Kubernetes lie in a folder of their own and stay."""
    folder = program.folder()
    for older in folder.parent.glob(f"{program.name}-*"):
        if older != folder:
            shutil.rmtree(older, ignore_errors=True)


def path(program: Program, command: str | None = None) -> Path:
    """A built command."""
    return program.folder() / (command or program.command or program.name)


def module_folder(tool: str, module: str) -> Path:
    """Where Go keeps the source of a module that a tool requires; fetched when it is missing."""
    folder = versions.tool_folder(tool)
    process.run("go", "mod", "download", module, cwd=folder, env=go_environment())
    return Path(process.output("go", "-C", folder, "list", "-m", "-f", "{{.Dir}}", module, env=go_environment()))


def publish(*programs: Program) -> None:
    """Copy commands into the checkout's `.dev/bin`, for people, scripts and tests."""
    for program in programs:
        target = state.local("bin", program.name)
        fresh = target.with_suffix(".new")
        shutil.copy2(path(program), fresh)
        fresh.replace(target)


def drop_caches() -> None:
    """Give back what Go needed to build: about 5 GB that nothing reads again."""
    shutil.rmtree(state.root() / "go", ignore_errors=True)
