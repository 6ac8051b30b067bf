"""The samples of one file, mono 16 kHz, on the scratch volume. `stream` writes them, the engine reads them."""

from collections.abc import Iterator
from pathlib import Path

from worker.growing import Growing

SAMPLES_PER_SECOND = 16_000
SAMPLE_BYTES = 2
BYTES_PER_SECOND = SAMPLES_PER_SECOND * SAMPLE_BYTES
CHUNK_SAMPLES = 30 * SAMPLES_PER_SECOND


class Sound(Growing):
    """Little-endian 16-bit samples. Their readers wait for those to come, and hear the error when none will."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(path, max_bytes)
        self.declared_seconds: float | None = None
        """What the file says of itself, if it does."""

    @property
    def seconds(self) -> float:
        """The length, once it is whole; until then of what is there."""
        return self.size / BYTES_PER_SECOND

    @property
    def expected_seconds(self) -> float | None:
        """The length as far as it is known: the true one, or the one declared."""
        if self.is_whole:
            return self.seconds
        return max(self.declared_seconds, self.seconds) if self.declared_seconds else None

    def read_samples(self, start: int, count: int) -> bytes:
        """So many samples, as soon as they are there; fewer at the end."""
        return self.read(start * SAMPLE_BYTES, count * SAMPLE_BYTES)

    def chunks(self) -> Iterator[bytes]:
        """All samples in order, each half minute as soon as it is there."""
        at = 0
        while chunk := self.read_samples(at, CHUNK_SAMPLES):
            yield chunk
            at += len(chunk) // SAMPLE_BYTES
