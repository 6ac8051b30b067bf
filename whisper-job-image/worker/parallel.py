"""Runs the parts that `split` found at once and gives their samples in order. Called by whoever decodes.

A part must begin with the very samples that the one before it would go on with. When it does not, or when anything
fails, whoever asked runs one ffmpeg over the whole file, whose error is the one that is told.
"""

import logging
import sys
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Self

from worker.cpu import pick_cpus
from worker.growing import Growing
from worker.part_run import Chunks, Job, PartRun, fail

SPOOL_CHUNK_BYTES = 1 << 20

logger = logging.getLogger(__name__)


def decode_parts(job: Job) -> Chunks:
    """The samples of the file as they come. PartError when parts fail; those given by then are those of one run."""
    with ExitStack() as stack:
        cpus = pick_cpus(len(job.parts))
        runs = [stack.enter_context(PartRun(job, *pair)) for pair in zip(job.parts, cpus, strict=True)]
        places = [job.scratch / f"part-{number}" for number in range(1, len(runs))]
        spools = [stack.enter_context(_Spool(run, place)) for run, place in zip(runs[1:], places, strict=True)]
        seam = b""
        for run, chunks in zip(runs, [runs[0].read(), *map(_Spool.read, spools)], strict=True):
            seam = yield from _give(run, _prove(chunks, seam))
            complaints = run.find_complaints()
            if complaints and run is not runs[-1]:
                # a lost frame moves all that comes after it, and in silence no seam shows that
                fail(complaints)
            if complaints:
                logger.warning("ffmpeg complained", extra={"stderr": complaints})


def _give(run: PartRun, chunks: Chunks) -> Generator[bytes, None, bytes]:
    """The samples that a part has of its own; returned are those that the next one must begin with."""
    left, seam = run.own_bytes, bytearray()
    for chunk in chunks:
        if left:
            yield chunk[:left]
        seam += chunk[left:]
        left -= min(left, len(chunk))
    return bytes(seam)


def _prove(chunks: Chunks, seam: bytes) -> Chunks:
    """The same, if they begin so."""
    head = bytearray()
    while len(head) < max(1, len(seam)):
        head += next(chunks, b"") or fail("a part has no samples")
    if not head.startswith(seam):
        fail("a part begins with other samples than the one before it went on with")
    yield bytes(head)
    yield from chunks


class _Spool:
    """What a part writes before its turn has come, in a file of the scratch folder."""

    def __init__(self, run: PartRun, path: Path) -> None:
        self._run = run
        self._file = Growing(path, sys.maxsize)  # the part's own length is its bound
        self._thread = Thread(target=self._fill, name="decoded-part", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run.kill()
        self._thread.join()
        self._file.close()

    def read(self) -> Chunks:
        """All of it, also what is still to come."""
        at = 0
        while chunk := self._file.read_some(at, SPOOL_CHUNK_BYTES):
            at += len(chunk)
            yield chunk

    def _fill(self) -> None:
        try:
            for chunk in self._run.read():
                self._file.append(chunk)
            self._file.finish()
        except Exception as error:  # noqa: BLE001  # it is raised where the samples are read
            self._file.fail(error)
