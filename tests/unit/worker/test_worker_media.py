"""What ffmpeg makes of good, broken and hostile files; they are made by ffmpeg itself."""

import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from crds.reasons import Reason
from worker.errors import NoAudioError, TooLongError, UnreadableMediaError, UnsupportedMediaError, WorkerError
from worker.media import BYTES_PER_SECOND, STDERR_BYTES, Output, decode, is_known_media, probe, run_capped

TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1")
PICTURES = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=1")

Maker = Callable[..., Path]


@pytest.fixture
def a_media_file(tmp_path: Path) -> Maker:
    def make(ending: str, *arguments: str) -> Path:
        made, path = tmp_path / f"made.{ending}", tmp_path / "media"
        subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments, made], check=True)
        return made.rename(path)

    return make


@pytest.fixture
def a_file(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        path = tmp_path / "media"
        path.write_bytes(content)
        return path

    return make


ENDINGS = ("mp4", "mkv", "mp3", "wav", "flac", "ogg", "aac", "avi", "ts", "wma")


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tone in every container."""
    folder = tmp_path_factory.mktemp("tones")
    subprocess.run(["ffmpeg", "-v", "error", *TONE, *(folder / f"tone.{ending}" for ending in ENDINGS)], check=True)
    return folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_sound_is_decoded_whatever_the_container(ending: str, tones: Path) -> None:
    path = (tones / f"tone.{ending}").rename(tones / "media")
    with path.open("rb") as file:
        assert is_known_media(file.read(256))
    samples = decode(probe(path, 10), 10)
    assert 0.9 < len(samples) / BYTES_PER_SECOND < 1.2
    assert max(abs(v) for v in memoryview(samples).cast("h")) > 1000


def test_the_sound_of_a_film_is_decoded(a_media_file: Maker) -> None:
    path = a_media_file("mp4", *PICTURES, *TONE)
    assert len(decode(probe(path, 10), 10)) == pytest.approx(BYTES_PER_SECOND, rel=0.1)


def test_a_film_without_sound_is_refused(a_media_file: Maker) -> None:
    with pytest.raises(NoAudioError):
        probe(a_media_file("mp4", *PICTURES), 10)


def test_a_file_is_refused_when_it_says_it_is_too_long(a_media_file: Maker) -> None:
    with pytest.raises(TooLongError):
        probe(a_media_file("wav", *TONE), 0.5)


def test_a_file_is_refused_when_it_is_longer_than_it_says(a_media_file: Maker) -> None:
    media = probe(a_media_file("wav", *TONE), 10)
    with pytest.raises(TooLongError):
        decode(media, 0.5)


def test_a_cut_off_film_is_unreadable(a_media_file: Maker) -> None:
    path = a_media_file("mp4", *PICTURES, *TONE)
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
        b"%PDF-1.7\n" + bytes(range(256)) * 4,
        b"PK\x03\x04" + bytes(200),
        b"[00:01.00]words of a song\n" * 20,
        b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{TARGET}\n#EXT-X-ENDLIST\n".encode(),
        f"ffconcat version 1.0\nfile '{TARGET}'\n".encode(),
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
    ],
    ids=["text", "pdf", "zip", "lyrics", "subtitles", "hls", "concat", "sdp", "dash"],
)
def test_what_is_no_media_is_unsupported(content: bytes, a_file: Callable[[bytes], Path]) -> None:
    with pytest.raises(UnsupportedMediaError):
        probe(a_file(content), 10)


def test_a_picture_is_unsupported(a_media_file: Maker) -> None:
    with pytest.raises(UnsupportedMediaError, match="not on whitelist"):
        probe(a_media_file("png", *PICTURES, "-frames:v", "1"), 10)


def test_a_playlist_of_sound_is_unsupported(a_media_file: Maker, tmp_path: Path) -> None:
    a_media_file("wav", *TONE).rename(tmp_path / "other.wav")
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


def a_program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_command_is_killed_when_it_hangs() -> None:
    with pytest.raises(UnreadableMediaError, match="ran out of time"):
        run_capped(a_program("import sys; sys.stdin.close(); input_ = __import__('signal').pause()"), 10, 0.3)


def test_a_command_is_killed_when_it_writes_too_much() -> None:
    output = run_capped(a_program("while True: print('x' * 9999)"), 50_000, 10)
    assert output.is_cut
    assert len(output.stdout) < 50_000 + (1 << 17)


def test_the_end_of_the_complaints_is_kept_when_they_are_many() -> None:
    output = run_capped(a_program("import sys; sys.stderr.write('x' * 999999 + 'last words'); sys.exit(3)"), 10, 10)
    assert output.code == 3
    assert len(output.stderr) == STDERR_BYTES
    assert output.stderr.endswith("last words")


def test_a_command_sees_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    output = run_capped(a_program("import os; print(sorted(os.environ))"), 1000, 10)
    assert b"AWS" not in output.stdout


def test_a_command_that_is_killed_ran_out_of_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(b"OggS")
    monkeypatch.setattr("worker.media.run_capped", lambda *_: Output(-9, bytearray(), "", is_cut=False))
    with pytest.raises(WorkerError) as caught:
        probe(path, 10)
    assert caught.value.reason is Reason.OUT_OF_MEMORY
