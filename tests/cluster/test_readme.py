"""What the README shows of kubectl."""

import re
import shlex
import subprocess

from tests.support.speech import ROOT
from tests.support.transcriptions import Run

COMMAND = re.compile(r"`(\.dev/bin/kubectl [^`]+)`")


def test_its_kubectl_shows_the_transcriptions(good_run: Run) -> None:
    (command,) = COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    shown = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert good_run.name in shown.stdout, shown.stderr
