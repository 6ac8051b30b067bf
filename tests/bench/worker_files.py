"""What the worker's benches read, made in the worker's image: `python -m tests.bench.worker_files FOLDER`.

Random checkpoints in half precision, as whisper's are published, and an hour of stereo MP3 of 128 kbit/s.
Called by worker_benches; files that are there are kept.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.bench.worker_units import HOUR_SECONDS, RECORDING, SHAPES
from tests.support.engine_models import SHAPES as DIMS
from tests.support.engine_models import a_random_model

PART_SECONDS = 300
SOUND = (
    "anoisesrc=d={0}:c=pink:r=44100:a=0.3:seed=7,tremolo=f=0.2:d=0.9[n];"
    "sine=f=220:r=44100:d={0},vibrato=f=5[s];[n][s]amix,aformat=channel_layouts=stereo"
)


def main(folder: str, shapes: Sequence[str] = SHAPES) -> None:
    """Make what is missing, and read all of it once, so that it is in memory for every side."""
    home = Path(folder)
    for shape in shapes:
        make(home / f"{shape}.pt", shape)
    if not (home / RECORDING).exists():
        record(home / RECORDING, HOUR_SECONDS)
    for path in home.iterdir():
        path.read_bytes()


def make(path: Path, shape: str) -> None:
    """A checkpoint of this shape."""
    if path.exists():
        return
    model = a_random_model(DIMS[shape]).half()
    fresh = path.with_suffix(".new")
    torch.save({"dims": vars(model.dims), "model_state_dict": model.state_dict()}, fresh)
    fresh.replace(path)


def record(path: Path, seconds: int) -> None:
    """A recording of this length: some minutes again and again."""
    once = min(PART_SECONDS, seconds)
    part, fresh = path.with_suffix(".part.mp3"), path.with_suffix(".new.mp3")
    run = ("ffmpeg", "-v", "error", "-nostdin", "-y")
    encode = ("-c:a", "libmp3lame", "-b:a", "128k", str(part))
    subprocess.run([*run, "-filter_complex", SOUND.format(once), *encode], check=True)
    again = ("-stream_loop", str(seconds // once - 1), "-i", str(part), "-c", "copy", str(fresh))
    subprocess.run([*run, *again], check=True)
    part.unlink()
    fresh.replace(path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] or SHAPES)
