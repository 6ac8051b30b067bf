"""The only door to ffmpeg: any file in, mono 16 kHz samples out. Called by the pipeline.

A file is hostile until decoded: it is known by its content alone, ffmpeg may open nothing but that file, and only as
a container of sound or film, and what comes out is counted here. Playlists, pictures and subtitles are refused.
"""

import json
import logging
import os
import selectors
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import IO, Any, NamedTuple, cast

from worker.errors import (
    InternalError,
    NoAudioError,
    OutOfMemoryError,
    TooLongError,
    UnreadableMediaError,
    UnsupportedMediaError,
    WorkerError,
)

SAMPLE_RATE = 16_000
BYTES_PER_SECOND = 2 * SAMPLE_RATE
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mp3,wav,w64,flac,ogg,aac,avi,mpegts,mpeg,flv,asf,amr,aiff,caf"
PROBE_SECONDS = 60.0
PROBE_OUTPUT_BYTES = 1 << 20
STDERR_BYTES = 4096
KILLED = -9
SLOW_SENTENCE = "Reading the file took too long: retry, or convert it to MP4 or MP3 and send a new request."

_INPUT_LIMITS = ["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS, "-max_streams", "128"]

logger = logging.getLogger(__name__)


class Media(NamedTuple):
    """A file that ffmpeg can open and that has sound. The length is what it says of itself, if it does."""

    path: Path
    container: str
    declared_seconds: float | None


class Output(NamedTuple):
    code: int
    stdout: bytearray
    stderr: str
    is_cut: bool


def probe(path: Path, max_seconds: float) -> Media:
    """Look at the file; a WorkerError of the fitting reason when it is nothing to transcribe."""
    show = "format=format_name,duration:stream=codec_type"
    command = [
        "ffprobe",
        "-v",
        "error",
        "-hide_banner",
        *_INPUT_LIMITS,
        "-show_entries",
        show,
        "-of",
        "json",
        f"file:{path}",
    ]
    output = run_capped(command, PROBE_OUTPUT_BYTES, PROBE_SECONDS)
    if output.code != 0 or output.is_cut:
        raise _explain(path, output)
    found: dict[str, Any] = json.loads(output.stdout)
    if all(stream.get("codec_type") != "audio" for stream in found.get("streams", [])):
        raise NoAudioError("no audio stream")
    media = Media(path, found["format"]["format_name"], _parse_seconds(found["format"].get("duration")))
    if (media.declared_seconds or 0) > max_seconds:
        raise TooLongError(f"{media.declared_seconds} s declared")
    return media


def decode(media: Media, max_seconds: float) -> bytearray:
    """The first audio track as little-endian 16-bit samples."""
    command = [
        *("ffmpeg", "-v", "error", "-hide_banner", "-nostdin", *_INPUT_LIMITS),
        # before -i it ends the reading; after it, only the writing
        *("-t", f"{max_seconds + 1:.0f}", "-i", f"file:{media.path}"),
        *("-map", "0:a:0", "-vn", "-sn", "-dn", "-f", "s16le", "-ac", "1", "-ar", str(SAMPLE_RATE), "pipe:1"),
    ]
    output = run_capped(command, int(max_seconds * BYTES_PER_SECOND), 2 * PROBE_SECONDS + max_seconds / 4)
    if output.is_cut:
        raise TooLongError(f"more than {max_seconds} s of sound")
    if output.code != 0:
        raise _explain(media.path, output)
    if not output.stdout:
        raise NoAudioError("the audio track is empty")
    if output.stderr:
        logger.warning("ffmpeg complained", extra={"stderr": output.stderr})
    return output.stdout


def is_known_media(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a container that is supported."""
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}:
        return True
    if head.startswith((b"RIFF", b"RF64", b"FORM")):
        return head[8:12] in {b"WAVE", b"AVI ", b"AIFF", b"AIFC"}
    return head.startswith(_SIGNATURES) or head[:1] == head[188:189] == b"G" or _is_mpeg_audio(head)


_SIGNATURES = (
    *(b"OggS", b"fLaC", b"ID3", b"FLV", b"caff", b"#!AMR", b"riff"),
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
)


def _is_mpeg_audio(head: bytes) -> bool:
    if len(head) < 2 or head[0] != 0xFF:
        return False
    is_adts, is_layer_2_or_3 = head[1] & 0xF6 == 0xF0, head[1] & 0xE0 == 0xE0 and head[1] & 0x06 in {2, 4}
    return is_adts or is_layer_2_or_3


def _explain(path: Path, output: Output) -> WorkerError:
    if output.code == KILLED and not output.is_cut:
        return OutOfMemoryError("ffmpeg was killed")
    with path.open("rb") as file:
        is_known = is_known_media(file.read(256))
    return UnreadableMediaError(output.stderr) if is_known else UnsupportedMediaError(output.stderr)


def _parse_seconds(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def run_capped(command: Sequence[str], max_bytes: int, timeout_seconds: float) -> Output:
    """Run a command on untrusted input: no shell, no environment, an end of time and of output.

    This is the place for a sandbox.
    """
    deadline = time.monotonic() + timeout_seconds
    stdout, stderr = bytearray(), bytearray()
    with Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env={"PATH": os.defpath}) as process:
        try:
            for stream, chunk in _read_both(process, deadline):
                (stdout if stream is process.stdout else stderr).extend(chunk)
                del stderr[:-STDERR_BYTES]
                if len(stdout) > max_bytes:
                    process.kill()
                    break
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, TimeoutExpired) as error:
            process.kill()
            raise InternalError(f"{command[0]} ran out of time", SLOW_SENTENCE) from error
    return Output(code, stdout, stderr.decode(errors="replace").strip(), is_cut=len(stdout) > max_bytes)


def _read_both(process: Popen[bytes], deadline: float) -> Iterator[tuple[IO[bytes], bytes]]:
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(cast(IO[bytes], stream), selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                stream = cast(IO[bytes], key.fileobj)
                chunk = os.read(stream.fileno(), 1 << 16)
                if not chunk:
                    selector.unregister(stream)
                yield stream, chunk
