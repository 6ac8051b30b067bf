"""What to report of the progress, and when. Pure: the pipeline feeds it and sends what it answers."""

import math
from collections.abc import Callable

from crds.transcriptionjob import Progress, Stage

MOST_BEFORE_RESULT = 99
LONGEST_NOTE = 256
"""As the resource's schema has it."""


class ProgressGate:
    """Percent never falls and is 100 only in `finish`; stages always pass, windows once an interval."""

    def __init__(self, pod_uid: str, attempt: int, interval_seconds: float, clock: Callable[[], float]) -> None:
        self._pod_uid = pod_uid
        self._attempt = attempt
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._stage = Stage.STARTING
        self._percent = 0
        self._done = 0.0
        self._own_done = self._skipped = 0.0
        self._total: float | None = None
        self._note: str | None = None
        self._began_at = self._sent_at = clock()

    def look(self) -> Progress:
        """A report without a percent, which cannot fall: another pod of this attempt may have come further."""
        return Progress(pod_uid=self._pod_uid, attempt=self._attempt, stage=self._stage)

    def is_silent(self) -> bool:
        """Whether nothing was reported for an interval."""
        return self._clock() - self._sent_at >= self._interval_seconds

    def adopt(self, stored: Progress) -> None:
        """Never report less than an earlier pod of this attempt has."""
        if stored.attempt == self._attempt:
            self._percent = max(self._percent, stored.percent or 0)
            self._done = max(self._done, stored.processed_seconds or 0.0)
            self._note = self._note or stored.note

    def skip(self, seconds: float) -> None:
        """So much audio was done by an earlier pod, and is not done again."""
        self._skipped = seconds
        self._reach(seconds)

    def enter(self, stage: Stage, total_seconds: float | None = None) -> Progress:
        """A stage begins. The length of the audio is told once it is known."""
        self._stage = stage
        self.expect(total_seconds)
        if stage is Stage.TRANSCRIBING:
            self._began_at = self._clock()
        if stage is Stage.SAVING:
            self._reach(self._total or 0.0)
            self._percent = max(self._percent, MOST_BEFORE_RESULT)
        return self._report()

    def expect(self, total_seconds: float | None) -> None:
        """How long the audio seems to be, or is; None while nobody knows."""
        self._total = total_seconds if total_seconds is not None else self._total

    def advance(self, processed_seconds: float) -> Progress | None:
        """So much audio is done; None when the last report is younger than the interval."""
        self._reach(processed_seconds)
        return self._report() if self.is_silent() else None

    def note(self, sentence: str) -> Progress:
        """Something that a person should know; it stays to the end, or until the next."""
        self._note = sentence[:LONGEST_NOTE]
        return self._report()

    def finish(self) -> Progress:
        """The report that goes with the stored result."""
        self._stage = Stage.DELIVERING
        self._percent = 100
        return self._report()

    def _reach(self, seconds: float) -> None:
        total = self._total or math.inf
        self._own_done = min(max(self._own_done, seconds), total)
        self._done = min(max(self._done, self._own_done), total)
        if self._total:
            self._percent = max(self._percent, min(MOST_BEFORE_RESULT, math.floor(100 * self._done / total)))

    def _report(self) -> Progress:
        now = self._clock()
        self._sent_at = now
        own = self._own_done - self._skipped
        speed = own / (now - self._began_at) if own > 0 and now > self._began_at else None
        return Progress(
            pod_uid=self._pod_uid,
            attempt=self._attempt,
            percent=self._percent,
            stage=self._stage,
            processed_seconds=round(self._done, 2) if self._total or self._done else None,
            total_seconds=None if self._total is None else round(self._total, 2),
            eta_seconds=round((self._total - self._own_done) / speed, 1) if speed and self._total else None,
            realtime_factor=round(speed, 2) if speed else None,
            note=self._note,
        )
