"""The Docker engine: the host's own when one answers, else one that we start. Called by the commands.

Our own engine keeps everything in the machine's state and listens on a socket of its own, so that nothing else on
the host meets it, and it runs in a session of its own, so that it outlives the command that started it.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dev import archive, packages, process, state

RUN = Path("/run/transcription-dev")
SOCKET, PID_FILE, EXEC_ROOT = RUN / "docker.sock", RUN / "docker.pid", RUN / "exec"
CAP_SYS_RESOURCE = 24


class EngineError(Exception):
    """The engine that we started does not answer."""


@dataclass(frozen=True)
class Docker:
    """An engine that answers, and the CLI that speaks to it."""

    is_ours: bool

    def env(self) -> dict[str, str]:
        """What docker and kind need in their environment; the old builder, as buildx may be missing."""
        return process.environment(DOCKER_BUILDKIT="0", **({"DOCKER_HOST": f"unix://{SOCKET}"} if self.is_ours else {}))

    def run(self, *words: process.Word, stdin: bytes | None = None) -> None:
        process.run("docker", *words, env=self.env(), stdin=stdin)

    def output(self, *words: process.Word, stdin: str | None = None) -> str:
        return process.output("docker", *words, env=self.env(), stdin=stdin)

    def succeeds(self, *words: process.Word, timeout_seconds: float = 30) -> bool:
        return process.succeeds("docker", *words, env=self.env(), timeout_seconds=timeout_seconds)

    def inspect(self, name: str, template: str) -> str | None:
        """One fact about an image, container or network; None when there is no such thing."""
        try:
            return self.output("inspect", "--format", template, name)
        except process.ProgramError:
            return None

    def build(self, image: str, files: Mapping[str, Path], dockerfile: str, *options: str) -> None:
        """Build an image from just these files (path in the context -> file), whatever else lies beside them."""
        proxies = [
            f"--build-arg={name}" for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "no_proxy")
        ]
        self._send(files, "build", "-t", image, "-f", dockerfile, *proxies, *options, "-")

    def import_files(self, image: str, files: Mapping[str, Path], *options: str) -> None:
        """Make an image of one layer that holds just these files (path in the image -> file)."""
        self._send(files, "import", *options, "-", image)

    def forget_others(self, image: str) -> None:
        """Remove the other versions of an image that we have built; layers that it shares with them stay."""
        repository = image.rsplit(":", 1)[0]
        for name in self.output("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository).split():
            if name != image:
                self.succeeds("rmi", name)

    def _send(self, files: Mapping[str, Path], *words: str) -> None:
        with tempfile.TemporaryFile(dir=state.directory()) as tar:
            archive.pack(files, tar)
            tar.seek(0)
            with process.log_of("docker", *words).open("wb") as log:
                done = subprocess.run(
                    ["docker", *words], env=self.env(), stdin=tar, stdout=log, stderr=log, check=False
                )
        if done.returncode:
            raise process.ProgramError(
                f"{process.shown('docker', *words)} failed\n{process.last_lines(Path(log.name))}"
            )


def find() -> Docker:
    """The engine to use: ours where it was used before, else the host's, else ours."""
    if not (state.root() / "docker").exists() and process.succeeds("docker", "info"):
        return Docker(is_ours=False)
    return Docker(is_ours=True)


def ensure() -> Docker:
    """Install Docker where it is missing and start it where none answers."""
    docker = find()
    if docker.is_ours:
        packages.install(packages.BARE)
        docker = find()  # where there is an init system, the package has started the host's own
    if docker.is_ours and not docker.succeeds("info"):
        start(docker)
    return docker


def start(docker: Docker) -> None:
    """Start our engine in a session of its own and wait until it answers."""
    RUN.mkdir(mode=0o711, exist_ok=True)
    for left_over in (PID_FILE, EXEC_ROOT / "containerd/containerd.pid"):
        if not is_ours(read_pid(left_over)):
            left_over.unlink(missing_ok=True)  # by kill -9; its number may belong to another process by now
    config = state.directory() / "daemon.json"
    config.write_text(json.dumps(build_config(lacks_sys_resource()), indent=1))
    with (state.directory("logs") / "dockerd.log").open("wb") as log:
        subprocess.Popen(
            ["dockerd", "--config-file", config],
            env=process.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if not wait(lambda: docker.succeeds("info"), 60):
        raise EngineError("dockerd does not answer:\n" + process.last_lines(state.root() / "logs/dockerd.log"))


def build_config(needs_shim: bool) -> dict[str, object]:
    """dockerd's configuration; the shim runtime only where the host lacks the capability."""
    config: dict[str, object] = {
        "data-root": str(state.directory("docker")),
        "exec-root": str(EXEC_ROOT),
        "pidfile": str(PID_FILE),
        "hosts": [f"unix://{SOCKET}"],
        "log-opts": {"max-size": "20m"},
    }
    if needs_shim:
        shim = state.checkout() / "dev/node/runc"
        installed = state.directory() / "runc"
        installed.write_bytes(shim.read_bytes())
        installed.chmod(0o755)
        config |= {"runtimes": {"shim": {"path": str(installed)}}, "default-runtime": "shim"}
    return config


def lacks_sys_resource() -> bool:
    """Whether privileged containers would fail for want of CAP_SYS_RESOURCE."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return not int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1
    return False


def stop(docker: Docker) -> None:
    """Stop our engine with all that it runs; the host's own is left alone."""
    if not docker.is_ours:
        return
    if is_ours(pid := read_pid(PID_FILE)):
        os.kill(pid, signal.SIGTERM)
        wait(lambda: not is_ours(pid), 60)
    for left_over in processes_of(EXEC_ROOT):
        os.kill(left_over, signal.SIGKILL)
    wait(lambda: not processes_of(EXEC_ROOT), 10)
    for mount in mounts_under(RUN, state.root()):
        process.succeeds("umount", "-l", mount)
    process.succeeds("ip", "link", "delete", "docker0")


def read_pid(file: Path) -> int:
    """The process id in a file, or 0."""
    text = file.read_text().strip() if file.exists() else ""
    return int(text) if text.isdigit() else 0


def is_ours(pid: int) -> bool:
    """Whether a process is our dockerd or its containerd, seen by the configuration it was started with."""
    words = command_line(pid)
    return str(state.root() / "daemon.json") in words or f"{EXEC_ROOT}/" in words


def processes_of(folder: Path) -> list[int]:
    """Processes whose command line names one of our folders: containerd and the shims of our engine."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and f"{folder}/" in command_line(pid)]


def command_line(pid: int) -> str:
    """A process's arguments, separated by NUL; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def mounts_under(*folders: Path) -> list[str]:
    """Mount points below some folders, the deepest first."""
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted(
        (point for point in points if point.startswith(tuple(f"{folder}/" for folder in folders))), reverse=True
    )


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds; False when it never did."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)
    return True
