"""An MP3 file that comes by a pipe, so that ffmpeg drops the encoder's padding as in a file. Called by `stream`.

The padding is told beside a number of bytes. If ffmpeg cannot compare that with the file's size, it believes neither.
So the comparison is made here, and the number is left out of what ffmpeg reads.
"""

from typing import NamedTuple

from worker.containers import Reading, skip_tags
from worker.growing import Growing
from worker.mp3_frames import INFO_PLACES, INFO_TAGS, MONO_BITS

HAS_FRAMES, HAS_SIZE = 1, 2
MOST_BYTES = 64


class SizeField(NamedTuple):
    """Where a file tells its size, and what it tells."""

    at: int
    size_bytes: int

    def fits(self, size_bytes: int) -> bool:
        """Whether ffmpeg would believe it of a file of this size."""
        return size_bytes <= self.size_bytes + (self.size_bytes >> 4)


def find_size_field(read: Reading) -> SizeField | None:
    """None where there is none, or where something else is where it should be."""
    at, _ = skip_tags(read)
    frame = read(at, MOST_BYTES)
    if len(frame) < MOST_BYTES:
        return None
    tag = INFO_PLACES[frame[1] & 0x08 != 0, frame[3] >> 6 == MONO_BITS]
    flags = int.from_bytes(frame[tag + 4 : tag + 8], "big")
    if frame[tag : tag + 4] not in INFO_TAGS or not flags & HAS_SIZE:
        return None
    field = tag + 8 + (4 if flags & HAS_FRAMES else 0)
    return SizeField(at + field, int.from_bytes(frame[field : field + 4], "big"))


class Blanked:
    """A file with zeros for the four bytes of a field."""

    def __init__(self, file: Growing, at: int) -> None:
        self._file, self._at = file, at

    @property
    def size(self) -> int:
        return self._file.size

    @property
    def is_whole(self) -> bool:
        return self._file.is_whole

    def read_some(self, at: int, most: int) -> bytes:
        """As of a growing file."""
        found = bytearray(self._file.read_some(at, most))
        begin, end = max(self._at, at) - at, min(self._at + 4, at + len(found)) - at
        if begin < end:
            found[begin:end] = bytes(end - begin)
        return bytes(found)
