"""The tests' door to the cluster: kubectl, as an administrator uses it."""

import json
import queue
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]
_END = None


@dataclass(frozen=True)
class Kubectl:
    """Commands in one namespace of one cluster."""

    binary: Path
    kubeconfig: Path
    namespace: str

    def words(self, *words: str) -> list[str]:
        return [str(self.binary), "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *words]

    def run(self, *words: str, stdin: str | None = None, timeout_seconds: float = 120) -> str:
        """What the command prints; fails with its words on standard error."""
        done = subprocess.run(
            self.words(*words), input=stdin, capture_output=True, text=True, check=False, timeout=timeout_seconds
        )
        assert done.returncode == 0, f"kubectl {' '.join(words)}: exit code {done.returncode}\n{done.stderr}"
        return done.stdout

    def get(self, kind: str, name: str) -> Manifest | None:
        """One object, or None when there is none of that name."""
        text = self.run("get", kind, name, "--ignore-not-found", "--output", "json")
        return json.loads(text) if text else None

    def list(self, kind: str, selector: str = "") -> list[Manifest]:
        items: list[Manifest] = json.loads(self.run("get", kind, "--selector", selector, "--output", "json"))["items"]
        return items

    def pods_of(self, deployment: str) -> set[str]:
        """Names of a Deployment's pods, ready or not."""
        found = self.get("deployment", deployment)
        assert found is not None, f"there is no Deployment {deployment}"
        labels = found["spec"]["selector"]["matchLabels"]
        pods = self.list("pod", ",".join(f"{name}={value}" for name, value in labels.items()))
        return {pod["metadata"]["name"] for pod in pods}

    def create(self, manifest: Manifest) -> Manifest:
        created: Manifest = json.loads(
            self.run("create", "--filename", "-", "--output", "json", stdin=json.dumps(manifest))
        )
        return created

    def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        self.run("patch", kind, name, "--type", "merge", "--patch", json.dumps(change))

    def wait(self, target: str, until: str, timeout_seconds: float) -> None:
        """`kubectl wait`: until is condition=..., jsonpath=... or delete."""
        self.run(
            "wait", target, f"--for={until}", f"--timeout={timeout_seconds:.0f}s", timeout_seconds=timeout_seconds + 30
        )

    def delete(self, kind: str, *names: str, force: bool = False) -> None:
        how = ("--force", "--grace-period=0") if force else ()
        self.run("delete", kind, *names, "--ignore-not-found", *how)

    @contextmanager
    def forward(self, target: str, port: int) -> Iterator[str]:
        """A URL of this machine that leads to a port in the cluster while the block runs."""
        process = subprocess.Popen(
            self.words("port-forward", target, f":{port}", "--address=127.0.0.1"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert found, f"no way to {target}: {line or process.communicate()[1]}"
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()
            process.communicate()

    @contextmanager
    def watch(self, kind: str, name: str) -> Iterator["Watch"]:
        """Everything that happens to one object while the block runs; it need not exist yet."""
        process = subprocess.Popen(
            self.words("get", kind, "--field-selector", f"metadata.name={name}", "--watch", "--output", "json"),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        watch = Watch(process)
        try:
            yield watch
        finally:
            process.terminate()
            process.wait()
            watch.thread.join()
            assert process.stdout is not None
            process.stdout.close()


class Watch:
    """What `kubectl get --watch` has shown so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._arrivals: queue.Queue[Manifest | None] = queue.Queue()
        self.seen: list[Manifest] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def until(self, is_so: Callable[[Manifest], bool], timeout_seconds: float, what: str) -> Manifest:
        """The first state from now on that fits; fails with the last one when the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                manifest = self._arrivals.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                last = self.seen[-1].get("status") if self.seen else None
                raise AssertionError(f"not within {timeout_seconds} s: {what}; last status: {last}") from None
            assert manifest is not _END, f"the watch ended before: {what}"
            if is_so(manifest):
                return manifest

    def _read(self) -> None:
        """Objects come one after the other, indented: a line that is one brace ends each."""
        lines: list[str] = []
        for line in self._process.stdout or ():
            lines.append(line)
            if line == "}\n":
                self._keep(json.loads("".join(lines)))
                lines.clear()
        self._arrivals.put(_END)

    def _keep(self, manifest: Manifest) -> None:
        self.seen.append(manifest)
        self._arrivals.put(manifest)
