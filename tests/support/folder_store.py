"""A folder that stands in for S3 where media is read."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from crds.transcriptionjob import Source
from worker.publish import Range
from worker.sound import Sound
from worker.stream import Caps, open_sound

CHUNK = 1 << 18


class FolderStore:
    """Its files, by their names."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open_range(self, source: Source, start: int, end: int) -> Range:
        path = self._path / source.key
        total = path.stat().st_size
        end = min(end, total)
        return Range(start, end - start, total, "abc", _read(path, start, end))


def _read(path: Path, at: int, end: int) -> Generator[bytes]:
    with path.open("rb") as file:
        file.seek(at)
        while chunk := file.read(min(CHUNK, end - at)):
            yield chunk
            at += len(chunk)


@contextmanager
def open_recording(path: Path, max_seconds: float) -> Iterator[Sound]:
    """The sound of a file, on the way that it takes in a pod."""
    source = Source(bucket="media", key=path.name)
    with (
        TemporaryDirectory() as scratch,
        open_sound(FolderStore(path.parent), source, Path(scratch), Caps(1 << 40, max_seconds)) as sound,
    ):
        yield sound
