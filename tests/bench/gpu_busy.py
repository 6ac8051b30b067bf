"""A recording from file to text by the whole engine: the share of encoder and decoder in its time. For gpu_run.

Reading and decoding the file counts, the model's loading does not.
"""

import time
from pathlib import Path

from tests.bench import feed_sides, worker_files
from tests.bench.gpu_sides import Stage
from tests.bench.harness import Sample
from tests.bench.worker_units import HOUR_SECONDS
from tests.support.folder_store import open_recording
from tests.support.worker_fakes import a_task
from worker.engine.door import Engine

SECONDS = "seconds"
TOY_SECONDS = 40


class Recording:
    """One run, looked at from two sides."""

    def __init__(self, stage: Stage, home: Path) -> None:
        self.seconds = HOUR_SECONDS if stage.device.type == "cuda" else TOY_SECONDS
        self._path = home / "recording.mp3"
        worker_files.record(self._path, self.seconds)
        self._engine = Engine(stage.ours)
        self._whole = 0.0

    def look_busy(self) -> Sample:
        """Run, and count the encoder's and the decoder's time."""
        began_at = time.perf_counter()
        task = a_task(language="en", engine="batched")
        with open_recording(self._path, feed_sides.LONGEST_SECONDS) as sound:
            transcript = self._engine.transcribe(sound, task, lambda _: None)
        self._whole = time.perf_counter() - began_at
        stages = transcript["figures"]["seconds"]
        return Sample({SECONDS: sum(stages.get(stage, 0.0) for stage in ("encode", "decode"))}, None)

    def look_whole(self) -> Sample:
        """The same run on the clock."""
        return Sample({SECONDS: self._whole}, None)
