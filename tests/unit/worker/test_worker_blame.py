"""What a run of ffmpeg is taken for when it ends badly: the file's fault, the node's, or ours."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from crds.reasons import Reason
from worker.errors import WorkerError
from worker.media import HEAVY_SENTENCE, SLOW_SENTENCE, Media, decode, probe
from worker.sandbox import KILLED, Output, Sandbox

UNKNOWN_SOUND = "[atrac3 @ 0x56] Codec (atrac3) not on whitelist 'aac'"
NO_DECODER = "Error while opening decoder for input stream #0:0 : Invalid argument"
OUT_OF_TIME = Output(KILLED, bytearray(), "", is_late=True)


@dataclass(frozen=True)
class FakeSandbox(Sandbox):
    output: Output = OUT_OF_TIME

    def run(self, *_: object) -> Output:
        return self.output


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (OUT_OF_TIME, Reason.INTERNAL_ERROR),
        (OUT_OF_TIME._replace(cpu_seconds=30), Reason.UNREADABLE_MEDIA),
        (Output(KILLED, bytearray(), "", cpu_seconds=19.9), Reason.UNREADABLE_MEDIA),
        (Output(KILLED, bytearray(), "", cpu_seconds=3), Reason.OUT_OF_MEMORY),
        (Output(KILLED, bytearray(100_000), "", is_cut=True), Reason.TOO_LONG),
        (Output(-11, bytearray(), ""), Reason.UNREADABLE_MEDIA),
        (Output(0, bytearray(), ""), Reason.NO_AUDIO),
        (Output(1, bytearray(), "Stream map '0:a:0' matches no streams."), Reason.NO_AUDIO),
        (Output(1, bytearray(), f"{UNKNOWN_SOUND}\n{NO_DECODER}"), Reason.UNSUPPORTED_MEDIA),
        (Output(1, bytearray(), f"{UNKNOWN_SOUND}\nInvalid data\n{NO_DECODER}"), Reason.UNREADABLE_MEDIA),
        (Output(1, bytearray(), "Decoder (codec none) not found for input stream #0:0"), Reason.UNSUPPORTED_MEDIA),
        (Output(1, bytearray(), "Invalid data found"), Reason.UNREADABLE_MEDIA),
        (Output(127, bytearray(), "ffmpeg: error while loading shared libraries: libx.so"), Reason.INTERNAL_ERROR),
    ],
)
def test_a_bad_end_has_its_reason(output: Output, reason: Reason) -> None:
    with pytest.raises(WorkerError) as caught:
        decode(Media(Path("media"), "mp3", None), 1, FakeSandbox(output=output))
    assert caught.value.reason is reason


@pytest.mark.parametrize(("cpu_seconds", "sentence"), [(1, SLOW_SENTENCE), (30, HEAVY_SENTENCE)])
def test_people_are_told_whether_to_try_again(cpu_seconds: float, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(b"OggS")
    with pytest.raises(WorkerError) as caught:
        probe(path, 10, FakeSandbox(output=OUT_OF_TIME._replace(cpu_seconds=cpu_seconds)))
    assert caught.value.fault.message == sentence


def test_decoders_that_are_not_wanted_are_no_complaint(caplog: pytest.LogCaptureFixture) -> None:
    said = "[h264 @ 0x5] Codec (h264) not on whitelist 'aac'\n    Last message repeated 1 times"
    assert decode(Media(Path("media"), "mov", None), 1, FakeSandbox(output=Output(0, bytearray(2), said, 2)))
    assert caplog.records == []


def test_a_film_goes_on_when_only_its_pictures_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(b"OggS")
    said = Output(1, bytearray(), "Could not open codec for input stream 1")
    assert probe(path, 10, FakeSandbox(output=said)) == Media(path, "ogg", None)
