"""A recording to what the model is given, in the worker's image: `python -m tests.bench.feed_sides SIDE FILE`.

How ours reads a file is in two functions, `read_windows` and `read_samples`; all else here measures. Called by
worker_benches.
"""

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import batched
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper

from tests.bench.worker_units import DECODED, FEED_MEMORY, FIRST_WINDOW, HOUR_SECONDS, WINDOWS
from tests.support.folder_store import open_recording
from worker import windows
from worker.cpu import count_cpus
from worker.engine.mel import measure_windows
from worker.sound import BYTES_PER_SECOND

N_MELS, CPU = 80, torch.device("cpu")
LONGEST_SECONDS = 2.0 * HOUR_SECONDS
MIB = 1 << 20


def main(side: str, path: str) -> None:
    """Print what it took."""
    torch.set_num_threads(count_cpus())
    figures, answer = SIDES[side](Path(path))
    print(json.dumps({"figures": figures, "answer": answer}))  # noqa: T201  # what the bench reads


def read_windows(path: Path) -> Iterator[Any]:
    """Ours: spectrograms of windows, as soon as they are there."""
    with open_recording(path, LONGEST_SECONDS) as sound:
        source = windows.cut(np.frombuffer(chunk, dtype="<i2") for chunk in sound.chunks())
        for first in source:
            yield measure_windows([first.samples], N_MELS, CPU, torch.float32)
            break
        for some in batched(source, WINDOWS):
            yield measure_windows([window.samples for window in some], N_MELS, CPU, torch.float32)


def read_samples(path: Path) -> bytes:
    """Ours: the whole recording, on the way that it takes in a pod."""
    with open_recording(path, LONGEST_SECONDS) as sound:
        return b"".join(sound.chunks())


def feed_ours(path: Path) -> tuple[dict[str, float], object]:
    """All windows, of which none is kept."""
    return time_first(read_windows(path))


def feed_whispers(path: Path) -> tuple[dict[str, float], object]:
    """As `transcribe` begins: nothing is decoded before the whole recording is a spectrogram."""

    def read() -> Iterator[Any]:
        mel = whisper.log_mel_spectrogram(whisper.load_audio(str(path)), N_MELS, padding=whisper.audio.N_SAMPLES)
        yield mel[None, :, : whisper.audio.N_FRAMES]

    return time_first(read())


def time_first(source: Iterator[Any]) -> tuple[dict[str, float], object]:
    """Seconds to the first window, memory until the last; the answer is the first one's shape."""
    whisper.log_mel_spectrogram(np.zeros(whisper.audio.N_SAMPLES, np.float32), N_MELS)  # filters and threads are there
    before, began_at = peak_bytes(), time.perf_counter()
    shape = list(next(source).shape)
    seconds = time.perf_counter() - began_at
    for _ in source:
        pass
    return {FIRST_WINDOW: seconds, FEED_MEMORY: (peak_bytes() - before) / MIB}, shape


def decode_ours(path: Path) -> tuple[dict[str, float], object]:
    """To samples, locked in."""
    return time_decoding(lambda: read_samples(path))


def decode_whispers(path: Path) -> tuple[dict[str, float], object]:
    """By one ffmpeg, with the command of `load_audio`."""
    command = [
        *("ffmpeg", "-nostdin", "-threads", "0", "-i", str(path), "-f", "s16le", "-ac", "1"),
        *("-acodec", "pcm_s16le", "-ar", "16000", "-"),
    ]
    return time_decoding(lambda: subprocess.run(command, capture_output=True, check=True).stdout)


def time_decoding(decode: Callable[[], bytes | bytearray]) -> tuple[dict[str, float], object]:
    """Seconds of sound a second on the clock; the answer is the samples' hash."""
    began_at = time.perf_counter()
    samples = decode()
    seconds = time.perf_counter() - began_at
    return {DECODED: len(samples) / BYTES_PER_SECOND / seconds}, hashlib.sha256(samples).hexdigest()


def peak_bytes() -> int:
    """The most memory that this process has had; ffmpeg's own is not counted on either side."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


SIDES = {
    "feed-ours": feed_ours,
    "feed-whisper": feed_whispers,
    "decode-ours": decode_ours,
    "decode-whisper": decode_whispers,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
