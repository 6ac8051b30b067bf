"""What ffmpeg makes of good, broken and hostile files; they are made by ffmpeg itself."""

import shutil
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from crds.reasons import Reason
from worker.containers import find_demuxer
from worker.errors import NoAudioError, TooLongError, UnreadableMediaError, UnsupportedMediaError, WorkerError
from worker.media import Media, decode, probe
from worker.sound import BYTES_PER_SECOND

ENDINGS = ("mp4", "mkv", "mp3", "wav", "flac", "ogg", "aac", "avi", "ts", "wma", "aiff", "caf", "mpg")
INPUTS = (
    *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1"),
    *("-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1"),
)
OUTPUTS = {
    **{f"tone.{ending}": ("-map", "0:a") for ending in ENDINGS},
    "film.mp4": ("-map", "0:a", "-map", "1:v"),
    "mute.mp4": ("-map", "1:v"),
    "picture.png": ("-map", "1:v", "-frames:v", "1"),
}

Maker = Callable[[str], Path]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of everything."""
    folder = tmp_path_factory.mktemp("recordings")
    outputs = (part for name, options in OUTPUTS.items() for part in (*options, str(folder / name)))
    subprocess.run(["ffmpeg", "-v", "error", *INPUTS, *outputs], check=True)
    return folder


@pytest.fixture
def a_recording(recordings: Path, tmp_path: Path) -> Maker:
    """A copy under the name that every media file has in a run."""
    return lambda name: Path(shutil.copy(recordings / name, tmp_path / "media"))


@pytest.fixture
def a_file(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        path = tmp_path / "media"
        path.write_bytes(content)
        return path

    return make


@pytest.mark.parametrize("ending", ENDINGS)
def test_sound_is_decoded_whatever_the_container(ending: str, a_recording: Maker) -> None:
    path = a_recording(f"tone.{ending}")
    assert find_demuxer(path) is not None
    samples = decode(probe(path, 10), 10)
    assert 0.9 < len(samples) / BYTES_PER_SECOND < 1.2
    assert max(abs(v) for v in memoryview(samples).cast("h")) > 1000


def test_the_sound_of_a_film_is_decoded(a_recording: Maker) -> None:
    assert 0.9 < len(decode(probe(a_recording("film.mp4"), 10), 10)) / BYTES_PER_SECOND < 1.2


def test_a_film_without_sound_is_refused(a_recording: Maker) -> None:
    with pytest.raises(NoAudioError):
        probe(a_recording("mute.mp4"), 10)


def test_a_file_is_refused_when_it_says_it_is_too_long(a_recording: Maker) -> None:
    with pytest.raises(TooLongError):
        probe(a_recording("tone.wav"), 0.5)


def test_a_file_is_refused_when_it_is_longer_than_it_says(a_recording: Maker) -> None:
    media = Media(a_recording("tone.wav"), "wav", None)
    with pytest.raises(TooLongError):
        decode(media, 0.5)


def test_a_cut_off_film_is_unreadable(a_recording: Maker) -> None:
    path = a_recording("film.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableMediaError, match="moov atom not found"):
        probe(path, 10)


def test_a_damaged_recording_is_unreadable(a_file: Callable[[bytes], Path]) -> None:
    with pytest.raises(UnreadableMediaError):
        probe(a_file(b"OggS" + bytes(500)), 10)


TARGET = "/etc/hostname"


@pytest.mark.parametrize(
    "content",
    [
        b"This is a letter, not a film.\n" * 50,
        b"[00:01.00]words of a song\n" * 20,
        b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{TARGET}\n#EXT-X-ENDLIST\n".encode(),
        f"ffconcat version 1.0\nfile '{TARGET}'\n".encode(),
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
    ],
    ids=["text", "lyrics", "subtitles", "hls", "concat", "sdp", "dash"],
)
def test_what_is_no_media_is_unsupported(content: bytes, a_file: Callable[[bytes], Path]) -> None:
    with pytest.raises(UnsupportedMediaError):
        probe(a_file(content), 10)


def test_a_picture_is_unsupported(a_recording: Maker) -> None:
    with pytest.raises(UnsupportedMediaError):
        probe(a_recording("picture.png"), 10)


def test_a_playlist_of_sound_is_unsupported(a_recording: Maker, tmp_path: Path) -> None:
    a_recording("tone.wav").rename(tmp_path / "other.wav")
    playlist = tmp_path / "media"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.wav\n#EXT-X-ENDLIST\n")
    with pytest.raises(UnsupportedMediaError):
        probe(playlist, 10)


def test_an_empty_track_is_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "media"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
    with pytest.raises(WorkerError) as caught:
        decode(probe(path, 10), 10)
    assert caught.value.reason in {Reason.NO_AUDIO, Reason.UNREADABLE_MEDIA}
