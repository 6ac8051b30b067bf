"""What becomes of files that mean harm: one known end for each, soon, and nothing of the canary in it."""

import os
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from crds.reasons import Reason
from crds.transcriptionjob import Source
from tests.support.hostile import CASES, SAMPLES, Workshop, open_workshop
from tests.support.hostile_mutants import Mutant, breed
from worker.errors import WorkerError
from worker.media import decode, probe
from worker.publish import Range
from worker.sandbox import NO_PIPES, Limits, Output, Pipes, Sandbox
from worker.stream import Caps, open_sound

MEMORY_BYTES = 512 << 20
MOST_SECONDS = 10.0
MUTANTS = 300
PARENTS = (
    *(
        f"tone.{e}"
        for e in ("mp3", "wav", "flac", "ogg", "aac", "avi", "ts", "wma", "aiff", "caf", "mpg", "flv", "w64")
    ),
    *("film.mp4", "film.mkv", "film.avi", "film.ts", "fragmented.mp4", "png.mov", "locked.mp4", "titled.mp3"),
)
PLAYLISTS = ("164_hls_local", "165_hls_http", "167_dash_local", "168_concat_relative", "171_avi_with_playlist")
KNOWN_ENDS = {SAMPLES, Reason.UNREADABLE_MEDIA, Reason.UNSUPPORTED_MEDIA, Reason.NO_AUDIO, Reason.TOO_LONG}


@dataclass(frozen=True)
class WatchedSandbox(Sandbox):
    """The same sandbox with half the memory, which remembers what the programs said."""

    outputs: list[Output] = field(default_factory=list)

    def run(
        self, command: Sequence[str], limits: Limits, readable: Sequence[Path] = (), pipes: Pipes = NO_PIPES
    ) -> Output:
        output = super().run(command, replace(limits, memory_bytes=MEMORY_BYTES), readable, pipes)
        self.outputs.append(output)
        return output


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """A port that nothing may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.fixture(scope="module")
def workshop(listener: socket.socket, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return open_workshop(tmp_path_factory.mktemp("seeds"), listener.getsockname()[1])


def find_end(path: Path, max_seconds: float, sandbox: Sandbox) -> str:
    """How the run of a file ends: a reason, or samples."""
    try:
        samples = decode(probe(path, max_seconds, sandbox), max_seconds, sandbox)
    except WorkerError as error:
        return error.reason
    assert samples
    return SAMPLES


def find_streamed_end(path: Path, max_seconds: float, sandbox: Sandbox) -> str:
    """The same when it comes from S3."""
    caps = Caps(1 << 30, max_seconds)
    try:
        with open_sound(Folder(path.parent), Source(bucket="b", key=path.name), path.parent, caps, sandbox) as sound:
            assert sound.wait()
    except WorkerError as error:
        return error.reason
    return SAMPLES


class Folder:
    """Stands in for S3."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open_range(self, source: Source, start: int, end: int) -> Range:
        content = (self._path / source.key).read_bytes()
        found = content[start:end]
        return Range(start, len(found), len(content), "abc", iter([found]))


@pytest.mark.parametrize("find_end", [find_end, find_streamed_end])
@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_ends_as_it_should(
    name: str, find_end: Callable[..., str], workshop: Workshop, listener: socket.socket, tmp_path: Path
) -> None:
    case = CASES[name]
    path = tmp_path / "upload"
    path.write_bytes(case.make(workshop))
    (tmp_path / "canary.wav").symlink_to(workshop.canary)
    sandbox = WatchedSandbox()
    began_at = time.monotonic()
    assert find_end(path, case.max_seconds, sandbox) in case.ends, [output.stderr for output in sandbox.outputs]
    assert time.monotonic() - began_at < MOST_SECONDS
    canary = workshop.canary.read_bytes()[44:144]
    for output in sandbox.outputs:
        assert canary not in output.stdout
        assert "forged" not in output.stderr
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_the_canary_is_found_when_it_is_read(workshop: Workshop) -> None:
    canary = workshop.canary.read_bytes()[44:144]
    assert canary in decode(probe(workshop.canary, 10), 10)


def test_the_playlist_leaks_the_canary_when_nothing_guards(workshop: Workshop, tmp_path: Path) -> None:
    """Called the usual way, ffmpeg reads the other file; so the tests above can fail."""
    playlist = tmp_path / "media"
    playlist.write_bytes(CASES["168_concat_absolute"].make(workshop))
    command = ["ffmpeg", "-v", "error", "-nostdin", "-safe", "0", "-i", str(playlist), "-f", "s16le", "pipe:1"]
    leaked = subprocess.run(command, capture_output=True, check=True).stdout
    assert workshop.canary.read_bytes()[44:144] in leaked


def test_mutants_end_in_a_known_way(workshop: Workshop, listener: socket.socket, tmp_path: Path) -> None:
    judge_mutants(20_260, MUTANTS, workshop, listener, tmp_path)


@pytest.mark.soak
def test_ten_thousand_mutants_end_in_a_known_way(workshop: Workshop, listener: socket.socket, tmp_path: Path) -> None:
    judge_mutants(Random().randrange(1 << 32), 10_000, workshop, listener, tmp_path)


def judge_mutants(seed: int, count: int, workshop: Workshop, listener: socket.socket, folder: Path) -> None:
    """Each ends as files end, in time, with nothing of the canary; the seed is in the name of each."""
    (folder / "canary.wav").symlink_to(workshop.canary)
    parents = {name: workshop[name] for name in PARENTS}
    parents |= {name: CASES[name].make(workshop) for name in (*PLAYLISTS, "172_mov_with_reference")}
    canary = workshop.canary.read_bytes()[44:144]

    def judge(mutant: Mutant) -> tuple[str, str]:
        path = folder / f"media-{mutant.name.partition(' ')[0].replace('/', '-')}"
        path.write_bytes(mutant.content)
        sandbox, began_at = WatchedSandbox(), time.monotonic()
        try:
            end = find_end(path, 60, sandbox)
        except Exception as error:
            raise AssertionError(mutant.name) from error
        path.unlink()
        assert time.monotonic() - began_at < 3 * MOST_SECONDS, mutant.name
        assert all(canary not in output.stdout for output in sandbox.outputs), mutant.name
        return mutant.name, end

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        ends = dict(threads.map(judge, breed(parents, seed, count)))
    tally = Counter(ends.values())
    assert len(ends) == count
    assert {name: end for name, end in ends.items() if end not in KNOWN_ENDS} == {}
    assert tally[SAMPLES] > count / 10, f"most mutants are too far from any file: {tally}"
    with pytest.raises(BlockingIOError):
        listener.accept()
