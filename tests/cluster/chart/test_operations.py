"""The commands of docs/operations.md, run from top to bottom on a release of the test's own beside the dev release."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from tests.support.bucket import read_env
from tests.support.helm import read_images
from tests.support.kubectl import Kubectl
from tests.support.namespaces import CLUSTER_KINDS
from tests.support.speech import ROOT
from tests.support.transcriptions import an_id

PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^## ([^\n]+)$|^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = "talk"
OF_THE_CLUSTER = re.compile(r"^kubectl (label|annotate) crd .*", re.MULTILINE)
"""The definition is the dev release's: what would take it over is only asked for."""


@dataclass(frozen=True)
class Keeper:
    """Somebody with a shell in a checkout."""

    folder: Path
    env: dict[str, str]

    def run(self, script: str) -> str:
        """What a block prints; fails with its words."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self.env,
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


def read_sections() -> dict[str, list[str]]:
    """The blocks under each heading."""
    sections: dict[str, list[str]] = {"": []}
    title = ""
    for heading, block in BLOCK.findall(PAGE):
        title = heading or title
        sections.setdefault(title, []).extend([block] if block else [])
    return sections


def build_values(kubectl: Kubectl) -> dict[str, object]:
    """Those of the dev release with its images, but for one S3 account, no GPU and the definition, which is there."""
    values: dict[str, dict[str, object]] = yaml.safe_load((ROOT / "dev/values.yaml").read_text())
    for part in ("api", "controller", "worker"):
        values[part] |= {"image": {"repository": f"localhost:5001/transcription-{part}"}, "s3Secret": "s3-keys"}
    values["api"] |= {"replicas": 1, "service": {"type": "ClusterIP"}}
    values["controller"] |= {"replicas": 1}
    values["worker"]["gpu"] = {"count": 0}
    for part, image in read_images(kubectl).items():
        repository, _, tag = image.rpartition(":")
        values[part]["image"] = {"repository": repository, "tag": tag}
    return values | {"crds": {"enabled": False}}


@pytest.fixture
def keeper(kubectl: Kubectl, tmp_path: Path) -> Iterator[Keeper]:
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(build_values(kubectl)))
    keys = read_env(ROOT / ".dev/s3.env")
    env = os.environ | {
        "PATH": f"{ROOT / '.dev/bin'}:{os.environ['PATH']}",
        "KUBECONFIG": str(kubectl.kubeconfig),
        "NAMESPACE": an_id("operations"),
        "RELEASE": an_id("release"),
        "NAME": NAME,
        "NODE": kubectl.list("node")[0]["metadata"]["name"],
        "AWS_ACCESS_KEY_ID": keys["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": keys["AWS_SECRET_ACCESS_KEY"],
    }
    yield Keeper(tmp_path, env)
    own = replace(kubectl, namespace=env["NAMESPACE"])
    own.run("delete", "namespace", own.namespace, "--ignore-not-found", "--wait=false")
    selector = f"app.kubernetes.io/instance={env['RELEASE']}"
    own.run("delete", ",".join(CLUSTER_KINDS), "--selector", selector, "--ignore-not-found")


def a_resting_transcription(env: dict[str, str]) -> dict[str, object]:
    """One that does not move, and costs nothing."""
    return {
        "apiVersion": "transcription.ecg.dev/v1alpha1",
        "kind": "TranscriptionJob",
        "metadata": {"name": NAME, "namespace": env["NAMESPACE"]},
        "spec": {"source": {"bucket": "transcriptions", "key": "videos/none.wav"}, "suspend": True},
    }


def test_every_command_of_the_page_works(kubectl: Kubectl, keeper: Keeper) -> None:
    sections = read_sections()
    (start,) = sections.pop("")
    assert re.findall(r"(\w+)=", start) == ["NAMESPACE", "RELEASE"]
    printed = {}
    for title, blocks in sections.items():
        printed[title] = "".join(keeper.run(only_asked(block)) for block in blocks)
        if title == "Install":
            replace(kubectl, namespace=keeper.env["NAMESPACE"]).create(a_resting_transcription(keeper.env))
    assert "ok      S3" in printed["Install"]
    assert "Suspended" in printed["A transcription that does not move"]
    assert "deployed" in printed["Upgrade, and back again"]
    backup = yaml.safe_load((keeper.folder / "transcriptions.backup.yaml").read_text())
    assert [item["metadata"]["name"] for item in backup["items"]] == [NAME]


def only_asked(block: str) -> str:
    """The block, with what would change the definition of the dev release asked for and not done."""
    lines = block.replace("\\\n", " ").splitlines()
    return "\n".join(f"{line} --dry-run=server" if OF_THE_CLUSTER.match(line) else line for line in lines)


def test_the_page_has_no_command_that_no_test_runs() -> None:
    assert PAGE.count("```") == 2 * PAGE.count("```sh\n")
    assert sum(map(len, read_sections().values())) == PAGE.count("```sh\n")
