"""From S3 to samples while both are still coming: ranges are fetched, and ffmpeg reads them from a pipe.

Called by the pipeline.

What ffmpeg cannot read from front to back, or does not like that way, it reads from the scratch file once it is whole:
then the file's end is known, so is what is wrong with it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from crds.transcriptionjob import Source
from worker import media
from worker.containers import is_read_in_order, tell_demuxer
from worker.cpu import count_cpus
from worker.errors import (
    EmptyInputError,
    InternalError,
    NoAudioError,
    TerminatedError,
    TooLongError,
    UnreadableMediaError,
    UnsupportedMediaError,
    WorkerError,
)
from worker.fetch import THREAD_NAME, Fetch, Fetching
from worker.growing import Growing
from worker.media import Media, TooHeavyError
from worker.mp3_size import Blanked, find_size_field
from worker.parallel import decode_parts
from worker.part_run import Job, PartError
from worker.sandbox import STRICT, Coming, Sandbox
from worker.sound import BYTES_PER_SECOND, Sound
from worker.split import READERS, find_parts

LONG_BYTES = 4 << 20
"""Smaller ones are hardly long enough to cut."""
PATIENCE_SECONDS = 2.0
"""So long a file may take to come until the first of its sound is wanted more than the last."""
SHORT_SECONDS = 1.0
"""What may lack of the declared length."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caps:
    """How large a file may be, and how long its sound."""

    input_bytes: int
    audio_seconds: float

    @property
    def sound_bytes(self) -> int:
        return int(self.audio_seconds * BYTES_PER_SECOND)


@contextmanager
def open_sound(store: Fetching, source: Source, folder: Path, caps: Caps, sandbox: Sandbox = STRICT) -> Iterator[Sound]:
    """The sound of a file, which comes while it is used. What goes wrong on the way is raised where it is read."""
    file = Growing(folder / "media", caps.input_bytes)
    sound = Sound(folder / "sound", caps.sound_bytes)

    def fail(error: WorkerError) -> None:
        file.fail(error)
        sound.fail(error)

    fetch, decoding = Fetch(store, source, file), Decoding(file, sound, caps.audio_seconds, sandbox)
    works = (lambda: fetch.run(caps.input_bytes), decoding.run)
    threads = [
        Thread(target=_guard, args=(work, fail), name=name, daemon=True)
        for work, name in zip(works, (THREAD_NAME, "decode"), strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        yield sound
    finally:
        fail(TerminatedError("the sound is wanted no more"))
        threads[1].join()
        file.close()
        sound.close()


def _guard(work: Callable[[], None], fail: Callable[[WorkerError], None]) -> None:
    try:
        work()
    except WorkerError as error:
        fail(error)
    except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must hear of it
        fail(InternalError(repr(error)))


class Decoding:
    """The way of one file to its samples."""

    def __init__(self, file: Growing, sound: Sound, max_seconds: float, sandbox: Sandbox) -> None:
        self._file, self._sound = file, sound
        self._max_seconds, self._sandbox = max_seconds, sandbox
        self._second_look: Thread | None = None

    def run(self) -> None:
        """All samples, or a WorkerError of the fitting reason, which the sound has heard by then."""
        try:
            self._run()
        except WorkerError as error:
            self._sound.fail(error)
            raise
        finally:
            self._file.close()
            if self._second_look:
                self._second_look.join()

    def _run(self) -> None:
        if not self._file.read_some(0, 1):
            raise EmptyInputError("0 bytes")
        demuxer = media.check_container(tell_demuxer(self._file.read))
        is_in_order = is_read_in_order(demuxer, self._file.read)
        if not is_in_order or not (self._read_parts(demuxer) or self._read_pipe(demuxer)):
            self._read_file()
        self._sound.finish()

    def _read_parts(self, demuxer: str) -> bool:
        """A long recording that is here sooner than one ffmpeg reads it is decoded by several, if it can be cut."""
        is_long = demuxer in READERS and (self._file.expected_size or 0) >= LONG_BYTES
        if not is_long or count_cpus() < 2 or not self._file.is_whole_within(PATIENCE_SECONDS):
            return False
        parts = find_parts(self._file.path, demuxer, count_cpus(), self._max_seconds)
        if not parts:
            return False
        found = media.probe(self._file.path, self._max_seconds, self._sandbox)
        self._expect(found)
        logger.info("decoding in parts", extra={"parts": len(parts)})
        limits = media.limit_decoding(self._max_seconds)
        job = Job(self._file.path, parts, limits, self._file.path.parent, self._sandbox)
        try:
            for chunk in decode_parts(job):
                self._sound.append(chunk)
        except PartError as error:
            logger.warning("the file is decoded as one", extra={"error": str(error), "given_bytes": self._sound.size})
            self._read_file()
        return True

    def _read_pipe(self, demuxer: str) -> bool:
        """False when something is wrong, which only the whole file can tell."""
        try:
            piped = Media(self._file.path, demuxer, source=self._find_source(demuxer))
            found = media.examine(piped, self._max_seconds, self._sandbox)
            self._expect(found)
            if found.declared_seconds is None:
                self._second_look = Thread(target=self._look_again, daemon=True)
                self._second_look.start()
            media.decode(found, self._max_seconds, self._sandbox, self._sound.append)
        except TooHeavyError:
            raise
        except (UnreadableMediaError, UnsupportedMediaError, NoAudioError) as error:
            self._file.check()
            logger.info("file is read again when it is whole", extra={"error": str(error)})
            return False
        self._file.check()
        # where an index tells the way, a pipe may not be able to follow
        return demuxer != "mov" or self._sound.seconds >= (found.declared_seconds or 0.0) - SHORT_SECONDS

    def _find_source(self, demuxer: str) -> Coming:
        field = find_size_field(self._file.read) if demuxer == "mp3" else None
        if field is None or not field.fits(self._file.expected_size or 0):
            return self._file
        return Blanked(self._file, field.at)

    def _look_again(self) -> None:
        """The length that only the end of a file tells; one that is too long need not be decoded until that shows."""
        try:
            self._file.wait()
            found = media.probe(self._file.path, self._max_seconds, self._sandbox)
            self._sound.declared_seconds = found.declared_seconds
        except TooLongError as error:
            self._sound.fail(error)
        except (WorkerError, OSError):
            logger.debug("no second look", exc_info=True)  # what is wrong with the file, decoding tells

    def _read_file(self) -> None:
        """By one ffmpeg; of what it gives only what comes behind the samples that are there."""
        self._file.wait()
        found = media.probe(self._file.path, self._max_seconds, self._sandbox)
        self._expect(found)
        known = self._sound.size

        def add(chunk: bytes) -> None:
            nonlocal known
            fresh = chunk[min(known, len(chunk)) :]
            known -= len(chunk) - len(fresh)
            self._sound.append(fresh)

        media.decode(found, self._max_seconds, self._sandbox, add)

    def _expect(self, found: Media) -> None:
        self._sound.declared_seconds = found.declared_seconds
        facts = {"container": found.container, "seconds": found.declared_seconds, "is_piped": found.source is not None}
        logger.info("media found", extra=facts)
