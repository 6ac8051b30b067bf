"""Media on its way from S3 to samples: a server that can hold back and break off, the real ffmpeg in its sandbox."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crds.transcriptionjob import Source
from tests.support.processes import find_children
from tests.support.shelf import Shelf, serving
from tests.support.worker_fakes import a_task, some_settings
from worker import fetch
from worker.errors import (
    EmptyInputError,
    InputChangedError,
    OutOfMemoryError,
    TooLongError,
    WorkerError,
)
from worker.media import decode, probe
from worker.publish import Store, build_client
from worker.sandbox import ROOT
from worker.sound import BYTES_PER_SECOND, Sound
from worker.stream import Caps, open_sound

SECONDS = 40
SOURCE = Source(bucket="media", key="talk", etag="abc")
FILM = ("-c:v", "mpeg4", "-b:v", "100k")
PIPED = {
    **{f"tone.{ending}": () for ending in ("mp3", "flac", "wav", "aac")},
    "tone.ogg": ("-c:a", "libvorbis"),
    "tone.opus": ("-c:a", "libopus", "-b:a", "32k"),
    "film.mkv": FILM,
    "film.webm": ("-vn", "-c:a", "libopus"),
    "film.ts": FILM,
    "early.mp4": (*FILM, "-movflags", "+faststart"),
    "fragments.mp4": (*FILM, "-movflags", "+frag_keyframe+empty_moov"),
    "stereo.mp3": ("-ac", "2", "-ar", "48000"),
    "slow.mp3": ("-ar", "16000"),
    "tagged.mp3": ("-metadata", "title=A talk", "-write_id3v1", "1"),
}
WHOLE = {"late.mp4": FILM, "late.mov": FILM, "film.avi": FILM, "tone.wma": (), "tone.aiff": (), "tone.caf": ()}
SOUND = f"sine=frequency=440:sample_rate=44100:duration={SECONDS},volume='0.5+0.5*sin(t)':eval=frame"
PICTURES = f"testsrc=size=64x48:rate=2:duration={SECONDS}"


class Recordings:
    """The same sound in everything; a file is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __truediv__(self, name: str) -> Path:
        path, options = self._folder / name, {**PIPED, **WHOLE}[name]
        if not path.exists():
            inputs = ["-f", "lavfi", "-i", SOUND, "-f", "lavfi", "-i", PICTURES]
            video = ("-map", "1:v") if options[:2] == FILM[:2] else ()
            subprocess.run(["ffmpeg", "-v", "error", *inputs, "-map", "0:a", *video, *options, str(path)], check=True)
        return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return Recordings(tmp_path_factory.mktemp("recordings"))


@contextmanager
def coming(shelf: Shelf, folder: Path, max_seconds: float = 100, max_bytes: int = 1 << 30) -> Iterator[Sound]:
    """The sound of what is on the shelf."""
    settings = some_settings(a_task(), s3_endpoint=shelf.url, s3_path_style=True)
    store = Store(build_client(settings), "media")
    with open_sound(store, SOURCE, folder, Caps(max_bytes, max_seconds)) as sound:
        yield sound


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr(fetch, "PAUSES_SECONDS", (0.0, 0.0, 0.0))


@pytest.fixture(autouse=True)
def _all_connections_end() -> Iterator[None]:
    """Nobody waits for them in a pod."""
    yield
    for thread in threading.enumerate():
        if thread.name == fetch.THREAD_NAME:
            thread.join(10)


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PART_BYTES", 50_000)


def hear(content: bytes, folder: Path, **caps: int) -> bytes:
    """All samples."""
    with serving(Shelf(content)) as shelf, coming(shelf, folder, **caps) as sound:
        return sound.read(0, sound.wait())


def was_piped(caplog: pytest.LogCaptureFixture) -> list[bool]:
    return [record.__dict__["is_piped"] for record in caplog.records if record.message == "media found"]


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("name", [*PIPED, *WHOLE])
def test_the_samples_are_those_of_the_file(
    name: str, recordings: Recordings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    found, wanted = hear((recordings / name).read_bytes(), tmp_path), decode(probe(recordings / name, 100), 100)
    assert found == wanted
    assert was_piped(caplog) == [name in PIPED]
    assert list(tmp_path.iterdir()) == []


def test_two_mp3_files_in_one_are_both_heard(recordings: Recordings, tmp_path: Path) -> None:
    path = tmp_path / "both"
    path.write_bytes((recordings / "tone.mp3").read_bytes() * 2)
    found = hear(path.read_bytes(), tmp_path)
    assert found == decode(probe(path, 100), 100)
    assert len(found) > 2 * (SECONDS - 1) * BYTES_PER_SECOND


@pytest.mark.parametrize("name", ["tone.mp3", "film.mkv", "early.mp4", "tone.opus"])
def test_the_first_window_is_there_before_the_last_byte_was_sent(
    name: str, recordings: Recordings, tmp_path: Path
) -> None:
    content = (recordings / name).read_bytes()
    shelf = Shelf(content, held=len(content) * 9 // 10 // 16384 * 16384)
    with serving(shelf), coming(shelf, tmp_path) as sound:
        assert len(sound.read_samples(0, 20 * 16000)) == 20 * BYTES_PER_SECOND
        assert not sound.is_whole
        shelf.release.set()
        assert sound.wait() > (SECONDS - 1) * BYTES_PER_SECOND


def test_a_broken_connection_is_taken_up_again(recordings: Recordings, tmp_path: Path) -> None:
    content = (recordings / "tone.flac").read_bytes()
    middle = len(content) // 2
    with serving(Shelf(content, breaks=[middle, middle + 40_000])) as shelf, coming(shelf, tmp_path) as sound:
        assert sound.read(0, sound.wait()) == decode(probe(recordings / "tone.flac", 100), 100)
    assert len(shelf.ranges) == 3
    assert all(middle - 80_000 < first <= middle + 40_000 for first, _ in shelf.ranges[1:])


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize("name", ["tone.mp3", "late.mp4"])
def test_a_file_that_changes_meanwhile_is_refused(name: str, recordings: Recordings, tmp_path: Path) -> None:
    content = (recordings / name).read_bytes()
    with (
        serving(Shelf(content, changes_at=len(content) // 4)) as shelf,
        coming(shelf, tmp_path) as sound,
        pytest.raises(InputChangedError),
    ):
        sound.wait()


@pytest.mark.parametrize("name", ["tone.wav", "film.avi"])
def test_a_file_is_refused_when_it_is_too_large_or_too_long(name: str, recordings: Recordings, tmp_path: Path) -> None:
    content = (recordings / name).read_bytes()
    for caps in ({"max_bytes": len(content) - 1}, {"max_seconds": SECONDS // 2}):
        with pytest.raises(TooLongError):
            hear(content, tmp_path, **caps)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyInputError):
        hear(b"", tmp_path)


@pytest.mark.parametrize("name", ["tone.mp3", "tone.flac", "early.mp4", "late.mp4", "film.mkv", "film.ts", "tone.ogg"])
def test_a_cut_off_file_ends_as_it_does_on_disk(name: str, recordings: Recordings, tmp_path: Path) -> None:
    content = (recordings / name).read_bytes()
    content = content[: len(content) // 2]
    path = tmp_path / "cut"
    path.write_bytes(content)
    assert find_end(lambda: hear(content, tmp_path)) == find_end(lambda: decode(probe(path, 100), 100))


def find_end(run: Callable[[], bytes | bytearray]) -> object:
    """A reason, or samples."""
    try:
        return bytes(run())
    except WorkerError as error:
        return error.reason


def test_the_rest_of_an_early_index_comes_from_the_file_when_the_pipe_ends_before(
    recordings: Recordings, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.stream.SHORT_SECONDS", -10.0)
    caplog.set_level("INFO")
    found = hear((recordings / "early.mp4").read_bytes(), tmp_path)
    assert found == decode(probe(recordings / "early.mp4", 100), 100)
    assert was_piped(caplog) == [True, False]


def test_a_decoder_that_is_killed_ran_out_of_memory(recordings: Recordings, tmp_path: Path) -> None:
    others = find_children()
    content = (recordings / "tone.wav").read_bytes()
    shelf = Shelf(content, held=len(content) // 2)
    with serving(shelf), coming(shelf, tmp_path) as sound:
        sound.reach(BYTES_PER_SECOND)
        for program in set(find_children()) - set(others):
            os.kill(program, signal.SIGKILL)
        with pytest.raises(OutOfMemoryError):
            sound.wait()


def test_nothing_runs_on_when_the_sound_is_wanted_no_more(recordings: Recordings, tmp_path: Path) -> None:
    others = find_children()
    content = (recordings / "tone.wav").read_bytes()
    shelf = Shelf(content, held=len(content) // 2)
    with serving(shelf):
        with coming(shelf, tmp_path) as sound:
            sound.reach(BYTES_PER_SECOND)
        assert set(find_children()) - set(others) == set()
        assert list(tmp_path.iterdir()) == []


MEASURE = """
import resource, sys
from pathlib import Path
from crds.transcriptionjob import Source
from worker.publish import Range
from worker.stream import Caps, open_sound

piece, times, folder = Path(sys.argv[1]).read_bytes(), int(sys.argv[2]), Path(sys.argv[3])
total = len(piece) * times

class Repeated:
    def open_range(self, source, start, end):
        end = min(end, total)
        return Range(start, end - start, total, None, self.read(start, end))

    def read(self, at, end):
        while at < end:
            chunk = piece[at % len(piece):][:min(end - at, 1 << 18)]
            yield chunk
            at += len(chunk)

with open_sound(Repeated(), Source(bucket="b", key="k", etag="e"), folder, Caps(1 << 30, 14400)) as sound:
    seconds = sum(len(chunk) for chunk in sound.chunks()) / 32000
peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(round(seconds), *peaks)
"""


def test_an_hour_takes_no_more_memory_than_ten_minutes(tmp_path: Path) -> None:
    piece = tmp_path / "piece.mp3"
    options = ("-ar", "16000", "-ac", "1", "-b:a", "16k", "-write_xing", "0", "-id3v2_version", "0")
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", SOUND, *options, str(piece)], check=True)
    (seconds, own, programs), (more_seconds, more_own, more_programs) = (
        measure(piece, minutes * 60 // SECONDS, tmp_path) for minutes in (10, 60)
    )
    assert (round(seconds / 600, 1), round(more_seconds / 3600, 1)) == (1, 1)
    assert abs(more_own - own) < 4000
    assert abs(more_programs - programs) < 4000


def measure(piece: Path, times: int, folder: Path) -> tuple[int, ...]:
    """Seconds of sound; the most kilobytes of the worker, and of ffmpeg."""
    command = [sys.executable, "-c", MEASURE, str(piece), str(times), str(folder)]
    paths = f"{ROOT}:{Path(ROOT).parent}"
    done = subprocess.run(command, env={"PYTHONPATH": paths}, check=True, stdout=subprocess.PIPE)
    return tuple(map(int, done.stdout.split()))
