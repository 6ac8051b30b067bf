"""Parts decoded at once by the real ffmpeg in its sandbox: sample for sample what one run gives."""

import subprocess
from dataclasses import replace
from pathlib import Path
from threading import active_count

import pytest

from tests.support.folder_store import open_recording
from tests.support.processes import find_children
from worker import split, stream
from worker.media import BYTES_PER_SECOND, Media, decode
from worker.parallel import decode_parts
from worker.part_run import Job, PartError
from worker.sandbox import Limits
from worker.split import Part, find_parts

SECONDS = 40
LIMITS = Limits(output_bytes=1 << 30, seconds=60, cpu_seconds=60)
NOISE = (
    *("-f", "lavfi", "-i", f"anoisesrc=d={SECONDS}:c=pink:a=0.4:s=7:r=48000"),
    *("-f", "lavfi", "-i", f"anoisesrc=d={SECONDS}:c=brown:a=0.5:s=9:r=48000"),
    *("-filter_complex", "[0][1]amerge=inputs=2,tremolo=f=3:d=0.9"),
)
PLAIN = ("-write_xing", "0", "-id3v2_version", "0")
FORMATS = {
    "cbr-44100-stereo.mp3": ("-ar", "44100", "-b:a", "40k"),
    "cbr-44100-mono.mp3": ("-ar", "44100", "-ac", "1", "-b:a", "32k"),
    "vbr-44100-stereo.mp3": ("-ar", "44100", "-q:a", "7"),
    "no-tags-44100-stereo.mp3": ("-ar", "44100", "-b:a", "40k", *PLAIN),
    "id3v1-no-reservoir.mp3": ("-ar", "44100", "-b:a", "64k", "-reservoir", "0", "-write_id3v1", "1"),
    "cbr-48000-stereo.mp3": ("-b:a", "40k"),
    "cbr-22050-stereo.mp3": ("-ar", "22050", "-b:a", "24k"),
    "vbr-22050-mono.mp3": ("-ar", "22050", "-ac", "1", "-q:a", "8"),
    "cbr-16000-mono.mp3": ("-ar", "16000", "-ac", "1", "-b:a", "8k"),
    "cbr-8000-mono.mp3": ("-ar", "8000", "-ac", "1", "-b:a", "8k", *PLAIN),
    "s16-44100-stereo.wav": ("-ar", "44100"),
    "s24-48000-mono.wav": ("-ac", "1", "-c:a", "pcm_s24le"),
    "f32-22050-stereo.wav": ("-ar", "22050", "-c:a", "pcm_f32le"),
    "u8-8000-mono.wav": ("-ar", "8000", "-ac", "1", "-c:a", "pcm_u8"),
    "s16-44100-stereo.flac": ("-ar", "44100", "-sample_fmt", "s16"),
    "s24-48000-mono.flac": ("-ac", "1", "-sample_fmt", "s32"),
    "s16-16000-mono.flac": ("-ar", "16000", "-ac", "1", "-sample_fmt", "s16"),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same noise in every format, its loudness that of syllables."""
    folder = tmp_path_factory.mktemp("long")
    source = folder / "source.wav"
    subprocess.run(["ffmpeg", "-v", "error", *NOISE, source], check=True)
    outputs = (part for name, options in FORMATS.items() for part in (*options, str(folder / name)))
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *outputs], check=True)
    return folder


@pytest.fixture(autouse=True)
def _short_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "SHORTEST_SECONDS", SECONDS - 1)
    monkeypatch.setattr(split, "SHORTEST_PART_SECONDS", 10)


def a_job(path: Path, cpus: int = 3) -> Job:
    parts = find_parts(path, path.suffix[1:], cpus, 3600)
    assert len(parts) == cpus
    return Job(path, parts, LIMITS, path.parent)


def at_once(job: Job) -> bytes:
    return b"".join(decode_parts(job))


def until_it_fails(job: Job) -> bytes:
    samples = bytearray()
    with pytest.raises(PartError):
        for chunk in decode_parts(job):
            samples += chunk
    return bytes(samples)


def as_one(path: Path) -> bytes:
    return bytes(decode(Media(path, path.suffix[1:], None), 3600))


def read(path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """On its way from storage, by two at once if that can be."""
    monkeypatch.setattr(stream, "LONG_BYTES", 1000)
    monkeypatch.setattr(stream, "PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(stream, "count_cpus", lambda: 2)
    with open_recording(path, 3600) as sound:
        return b"".join(sound.chunks())


@pytest.mark.parametrize("name", FORMATS)
def test_samples_are_those_of_one_run_when_parts_are_decoded_at_once(name: str, recordings: Path) -> None:
    path = recordings / name
    whole = as_one(path)
    assert len(whole) > (SECONDS - 1) * BYTES_PER_SECOND
    assert at_once(a_job(path)) == whole


def test_eleven_minutes_are_long_enough(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    path = recordings / "eleven-minutes.mp3"
    path.write_bytes((recordings / "no-tags-44100-stereo.mp3").read_bytes() * 17)
    assert at_once(a_job(path, cpus=2)) == as_one(path)


def test_no_wrong_sample_is_given_when_a_part_begins_in_the_wrong_place(recordings: Path) -> None:
    path = recordings / "s16-44100-stereo.wav"
    job = a_job(path)
    moved = replace(job, parts=[*job.parts[:2], job.parts[2]._replace(offset=job.parts[2].offset + 4)])
    samples = until_it_fails(moved)
    assert len(samples) > SECONDS // 3 * BYTES_PER_SECOND
    assert as_one(path).startswith(samples)


def test_no_wrong_sample_is_given_when_a_part_ends_too_soon(recordings: Path) -> None:
    path = recordings / "cbr-44100-mono.mp3"
    job = a_job(path)
    cut_off = path.with_name("cut-off.mp3")
    cut_off.write_bytes(path.read_bytes()[: job.parts[2].offset])
    assert as_one(cut_off).startswith(until_it_fails(replace(job, path=cut_off)))


def test_parts_fail_when_the_file_is_no_recording(recordings: Path) -> None:
    path = recordings / "garbage.mp3"
    path.write_bytes(bytes(range(256)) * 4096)
    parts = [Part(0, "mp3", (), "anull", 0, 1 << 20), Part(4096, "mp3", (), "anull", 0, 1 << 20)]
    assert until_it_fails(Job(path, parts, LIMITS, path.parent)) == b""


def test_a_lost_frame_leads_to_one_run_though_silence_hides_it(
    recordings: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = recordings / "quiet.mp3"
    silence = ("-f", "lavfi", "-i", f"anullsrc=r=44100:cl=mono:d={SECONDS}", "-b:a", "64k", *PLAIN)
    subprocess.run(["ffmpeg", "-v", "error", *silence, path], check=True)
    job, sound = a_job(path), as_one(path)
    content = bytearray(path.read_bytes())
    frame_at = content.index(content[:2], job.parts[1].offset // 2)
    content[frame_at + 4 : frame_at + 36] = b"\xff" * 32
    path.write_bytes(content)
    broken = as_one(path)
    assert len(broken) < len(sound)
    assert read(path, monkeypatch) == broken
    assert [record.__dict__["given_bytes"] > 0 for record in caplog.records if "as one" in record.msg] == [True]


def test_nothing_runs_on_when_nobody_wants_more(recordings: Path) -> None:
    threads, children = active_count(), find_children()
    samples = decode_parts(a_job(recordings / "cbr-48000-stereo.mp3"))
    assert next(samples)
    samples.close()  # type: ignore[attr-defined]
    assert (active_count(), find_children()) == (threads, children)


def test_parts_fail_when_one_takes_too_long(recordings: Path) -> None:
    path = recordings / "cbr-48000-stereo.mp3"
    job = replace(a_job(path), limits=replace(LIMITS, seconds=0))
    assert until_it_fails(job) == b""


@pytest.mark.parametrize("ending", ["mp3", "flac", "wav"])
def test_a_long_file_is_decoded_in_parts_on_its_way_from_storage(
    ending: str, recordings: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    [path, *_] = sorted(recordings.glob(f"*.{ending}"))
    with caplog.at_level("INFO"):
        assert read(path, monkeypatch) == as_one(path)
    assert [record.__dict__["parts"] for record in caplog.records if record.msg == "decoding in parts"] == [2]
