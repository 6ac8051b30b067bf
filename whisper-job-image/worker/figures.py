"""What a run took: seconds of each stage, speed, memory. Kept by the pipeline, which puts them into the transcript."""

import logging
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from crds.transcriptionjob import Stage

NAMES = {Stage.DOWNLOADING: "download", Stage.LOADING_MODEL: "load_model", Stage.TRANSCRIBING: "transcribe"}
"""Stages that are over when the transcript is stored."""

logger = logging.getLogger(__name__)


def measure_peak_bytes() -> int:
    """The most memory that this process, or ffmpeg, has held so far."""
    return 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


class Figures:
    """One run's."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, measure_peak: Callable[[], int] = measure_peak_bytes
    ) -> None:
        self._clock = clock
        self._measure_peak = measure_peak
        self._seconds: dict[Stage, float] = {}
        self._began_at = clock()
        self._first_window: float | None = None

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Measure a stage."""
        began_at = self._clock()
        yield
        seconds = round(self._clock() - began_at, 3)
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
        logger.info("stage done", extra={"stage": stage, "seconds": seconds})

    def note_window(self) -> None:
        """The model has got a window; the first one counts."""
        if self._first_window is None:
            self._first_window = round(self._clock() - self._began_at, 3)

    def add_to(self, transcript: dict[str, Any], audio_seconds: float, resumed_seconds: float) -> dict[str, Any]:
        """The transcript with the figures under a key of their own, beside those of the engine."""
        took = self._seconds.get(Stage.TRANSCRIBING, 0.0)
        found = {
            "audio_seconds": round(audio_seconds, 2),
            "resumed_seconds": round(resumed_seconds, 2),
            "stage_seconds": {name: self._seconds[stage] for stage, name in NAMES.items() if stage in self._seconds},
            "first_window": self._first_window,
            "realtime_factor": round((audio_seconds - resumed_seconds) / took, 2) if took else None,
            "host_peak_bytes": self._measure_peak(),
        }
        figures = transcript.get("figures", {}) | found
        logger.info("run measured", extra={"figures": figures})
        return transcript | {"figures": figures}
