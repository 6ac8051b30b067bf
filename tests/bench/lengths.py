"""How memory and time grow with the length: `python -m tests.bench.lengths [--image NAME] [MINUTES ...]`.

The worker of this checkout, in its image, on 1, 10, 60 and 240 minutes of speech: the demo model's samples, one after
the other in an order that is drawn. Each run is a fresh container. Prints a table; nothing of it is a pair.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev import docker, images
from tests.bench.report import ROOT
from tests.support.words import count_errors, words_of

SAMPLES = ROOT / "whisper-job-image/model"
BYTES_PER_SECOND = 2 * 16_000
PAUSE = bytes(BYTES_PER_SECOND * 7 // 10)
ENGINES = ("quality", "batched")
MINUTES = (1, 10, 60, 240)
MOST_COMPARED_WORDS = 2000
"""Comparing takes the square of them."""
SAMPLES_AS = ("-f", "s16le", "-ac", "1", "-ar", "16000")
HEAD = (
    "| engine | minutes | seconds, all | download, decode | load model | transcribe | times real time "
    "| resident MiB | own MiB | ffmpeg MiB | words wrong |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Clip:
    """One of the samples with a pause after it, and what it says."""

    sound: bytes
    text: str


@dataclass(frozen=True)
class Talk:
    """A file of some length, and what it says."""

    media: Path
    seconds: float
    text: str


def main(words: Sequence[str]) -> int:
    """Make the files, run the worker on each, print a row for each run."""
    asked = _parse(words)
    engine = docker.find()
    image = asked.image or images.full_name(engine, images.WORKER)
    _tell(f"image {image}\n\n{HEAD}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the worker is another user
        for minutes in asked.minutes or MINUTES:
            talk = make_talk(minutes, Path(folder) / "long.mp3")
            for name in asked.engine or ENGINES:
                _tell(render_row(name, talk, run(engine, image, talk.media, name)))
    return 0


def make_talk(minutes: float, media: Path) -> Talk:
    """An MP3 of at most so many minutes, none of it ever whole in memory."""
    command = ["ffmpeg", "-v", "error", "-y", *SAMPLES_AS, "-i", "pipe:0", "-b:a", "64k", str(media)]
    size, texts = 0, []
    with subprocess.Popen(command, stdin=subprocess.PIPE) as coder:
        assert coder.stdin is not None
        for clip in draw_clips(read_clips(), int(minutes * 60 * BYTES_PER_SECOND)):
            coder.stdin.write(clip.sound)
            size += len(clip.sound)
            texts.append(clip.text)
    if coder.returncode:
        raise SystemExit(f"ffmpeg: exit code {coder.returncode}")
    return Talk(media, size / BYTES_PER_SECOND, " ".join(texts))


def draw_clips(clips: Sequence[Clip], most_bytes: int) -> Iterator[Clip]:
    """In any order, the same each time, for as long as they fit.

    None twice running: the engine takes that for a loop, and cuts it.
    """
    rng = random.Random(most_bytes)
    left, last = most_bytes, None
    while fitting := [clip for clip in clips if len(clip.sound) <= left and clip is not last]:
        last = rng.choice(fitting)
        left -= len(last.sound)
        yield last


def read_clips() -> list[Clip]:
    """All samples of the model."""
    return [_read_clip(path) for path in sorted(SAMPLES.glob("sample-*.*")) if path.suffix != ".txt"]


def run(engine: docker.Docker, image: str, media: Path, name: str) -> dict[str, Any]:
    """What one run took, in a container of its own without a network."""
    began_at = time.monotonic()
    done = subprocess.run(
        [
            *("docker", "run", "--rm", "--init", "--network=none", "--entrypoint=python3", "--workdir=/tree"),
            *(f"--volume={ROOT}:/tree:ro", f"--volume={media.parent}:/media:ro"),
            *("--env=PYTHONPATH=/tree:/tree/whisper-job-image", image),
            *("-m", "tests.bench.lengths_worker", f"/media/{media.name}", name),
        ],
        env=engine.env(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the worker ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"seconds": time.monotonic() - began_at}


def render_row(name: str, talk: Talk, found: dict[str, Any]) -> str:
    """A line of the table."""
    figures, memory = found["figures"], found["memory"]
    stages = [figures["stage_seconds"].get(stage, 0.0) for stage in ("download", "load_model", "transcribe")]
    cells = [
        *(name, f"{talk.seconds / 60:.1f}", f"{found['seconds']:.1f}", *(f"{seconds:.1f}" for seconds in stages)),
        *(f"{figures['realtime_factor']:.1f}", *(f"{memory[kind] / (1 << 20):.0f}" for kind in memory)),
        count_wrong(talk.text, found["text"]),
    ]
    return f"| {' | '.join(cells)} |"


def count_wrong(said: str, heard: str) -> str:
    """How many of how many words, among the first ones; and how many are missing at the end."""
    spoken, got = words_of(said), words_of(heard)
    most = min(MOST_COMPARED_WORDS, len(spoken))
    lost = "" if len(spoken) == len(got) else f", {len(got) - len(spoken):+d} in all"
    return f"{count_errors(spoken[:most], got[:most])} of {most}{lost}"


def _read_clip(path: Path) -> Clip:
    command = ["ffmpeg", "-v", "error", "-i", str(path), *SAMPLES_AS, "pipe:1"]
    samples = subprocess.run(command, capture_output=True, check=True).stdout
    return Clip(samples + PAUSE, path.with_suffix(".txt").read_text().strip())


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.lengths")
    parser.add_argument("minutes", nargs="*", type=float, help=f"lengths; by default {MINUTES}")
    parser.add_argument("--image", help="the worker's image; by default that of this checkout")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="by default both")
    return parser.parse_args(words)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
