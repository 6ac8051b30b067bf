"""The worker for the CPU takes PyTorch from an index that the builder names, and takes the locked one or none."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

LOCK = Path(__file__).parents[2] / "requirements/worker-cpu-torch.txt"
VERSION = re.findall(r"^torch==(\S+)", LOCK.read_text(), re.MULTILINE)[0]
WHEEL = f"torch-{VERSION}-cp313-cp313-manylinux_2_28_x86_64.whl"
OPTIONS = (
    *("--isolated", "--no-cache-dir", "--no-deps", "--only-binary=:all:", "--require-hashes"),
    *("--python-version=3.13", "--platform=manylinux_2_28_x86_64"),
)


def test_torch_is_refused_when_the_index_serves_another(tmp_path: Path) -> None:
    folder = tmp_path / "index/torch"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        about = f"Metadata-Version: 2.1\nName: torch\nVersion: {VERSION}\n"
        wheel.writestr(f"torch-{VERSION}.dist-info/METADATA", about)
    (folder / "index.html").write_text(f'<!DOCTYPE html><a href="{WHEEL.replace("+", "%2B")}">{WHEEL}</a>')
    where = (f"--index-url={folder.parent.as_uri()}", f"--dest={tmp_path}", f"--requirement={LOCK}")
    command = (sys.executable, "-m", "pip", "download", *OPTIONS, *where)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
