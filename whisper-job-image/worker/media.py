"""The only door to ffmpeg: any file in, mono 16 kHz samples out. Called by the pipeline.

A file is hostile until decoded: its container is told by its content alone, ffmpeg runs locked in, reads that file as
nothing else, decodes nothing but sound, and what comes out is counted here. Playlists, pictures, subtitles are refused.
"""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from worker.containers import find_demuxer
from worker.errors import (
    EmptyInputError,
    InternalError,
    NoAudioError,
    OutOfMemoryError,
    TooLongError,
    UnreadableMediaError,
    UnsupportedMediaError,
    WorkerError,
)
from worker.sandbox import KILLED, STRICT, Coming, Limits, Output, Pipes, Sandbox
from worker.sound import BYTES_PER_SECOND, SAMPLES_PER_SECOND

Sink = Callable[[bytes], None]

PROBE = Limits(output_bytes=1 << 20, seconds=60, cpu_seconds=20)
MOST_STREAMS = 128
# a thread takes 8 MiB of address space, and by default there is one for each core of the node
ONE_THREAD = ("-threads", "1", "-filter_threads", "1")
FFMPEG = ("ffmpeg", "-v", "error", "-hide_banner", "-nostdin", *ONE_THREAD)
FIRST_TRACK = ("-map", "0:a:0", "-vn", "-sn", "-dn")
# written by the buffer, not by the frame: each write wakes its reader
TO_SAMPLES = ("-f", "s16le", "-ac", "1", "-ar", str(SAMPLES_PER_SECOND), "-flush_packets", "0", "pipe:1")
SLOW_SENTENCE = "Reading the file took too long: retry, or convert it to MP4 or MP3 and send a new request."
HEAVY_SENTENCE = "The file takes more work to read than any recording should: convert it to MP3 and send a new request."

AUDIO_DECODERS = (
    "aac,aac_latm,mp3float,mp3,mp2float,mp2,mp1float,mp1,flac,alac,opus,libopus,vorbis,libvorbis,ac3,eac3,dca,truehd,mlp,wavpack,tta,"
    "wmav1,wmav2,wmapro,wmavoice,wmalossless,amrnb,amrwb,gsm,gsm_ms,libgsm,libgsm_ms,speex,libspeex,nellymoser,qdm2,mace3,mace6,"
    "g722,g726,g726le,g723_1,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf,adpcm_yamaha,pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,s302m,"
    "pcm_s8,pcm_s8_planar,pcm_u8,pcm_s16be,pcm_s16be_planar,pcm_s16le,pcm_s16le_planar,pcm_s24be,pcm_s24le,pcm_s24le_planar,"
    "pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s64be,pcm_s64le,pcm_u16be,pcm_u16le,pcm_u24be,pcm_u24le,pcm_u32be,pcm_u32le,"
    "pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le"
)
# ffprobe opens a decoder for each stream, or fails. These it may open; they get nothing to decode.
OPENED_DECODERS = (
    "h264,hevc,libdav1d,av1,vp8,vp9,mpeg4,mpeg2video,mpeg1video,mpegvideo,mjpeg,png,theora,h263,h263p,h263i,flv,vp6,vp6a,vp6f,flashsv,"
    "flashsv2,msmpeg4v1,msmpeg4v2,msmpeg4,wmv1,wmv2,wmv3,vc1,prores,dnxhd,rawvideo,svq1,svq3,cinepak,qtrle,ffv1,huffyuv,ffvhuff,"
    "dvvideo,ssa,ass,dvbsub,dvdsub,pgssub,cc_dec,mov_text,srt,subrip,text,webvtt,libzvbi_teletextdec,xsub"
)
ERRORS: dict[str, type[WorkerError]] = {
    "error while loading shared libraries": InternalError,
    "matches no streams": NoAudioError,
    r"not on whitelist.*\n.*Error while opening decoder": UnsupportedMediaError,
    r"no decoder found for|Decoder \(codec .*\) not found": UnsupportedMediaError,
}
"""Beside that it cannot be read; the words are those of ffmpeg 5 and 7."""

logger = logging.getLogger(__name__)


class TooHeavyError(UnreadableMediaError):
    """It is of no use to try in another way."""


class Media(NamedTuple):
    """A file that ffmpeg can open; with a source it comes by a pipe. The length is what it says itself, if it does."""

    path: Path
    container: str
    declared_seconds: float | None = None
    source: Coming | None = None

    @property
    def url(self) -> str:
        return f"file:{self.path}" if self.source is None else "pipe:0"

    @property
    def protocol(self) -> str:
        return self.url.partition(":")[0]

    @property
    def readable(self) -> list[Path]:
        return [self.path] if self.source is None else []


def probe(path: Path, max_seconds: float, sandbox: Sandbox = STRICT) -> Media:
    """Look at the file; a WorkerError of the fitting reason when it is nothing to transcribe."""
    return examine(Media(path, find_container(path)), max_seconds, sandbox)


def examine(media: Media, max_seconds: float, sandbox: Sandbox = STRICT) -> Media:
    """The same for a file whose container is known."""
    command = [
        *("ffprobe", "-v", "warning", "-hide_banner", "-threads", "1", *read_only_as(media.container, media.protocol)),
        *("-codec_whitelist:v", OPENED_DECODERS, "-codec_whitelist:s", OPENED_DECODERS),
        *("-show_entries", "format=duration:stream=codec_type", "-of", "json", media.url),
    ]
    output = sandbox.run(command, PROBE, media.readable, Pipes(media.source))
    if "Could not open codec for input stream" in output.stderr:
        return media
    if output.code != 0 or output.is_cut:
        raise _explain(output)
    media = media._replace(declared_seconds=_parse_seconds(output))
    if (media.declared_seconds or 0) > max_seconds:
        raise TooLongError(f"{media.declared_seconds} s declared")
    return media


def decode(media: Media, max_seconds: float, sandbox: Sandbox = STRICT, sink: Sink | None = None) -> bytearray:
    """The first audio track as little-endian 16-bit samples, unless there is a sink to take them as they come."""
    command = [
        *(*FFMPEG, *read_only_as(media.container, media.protocol)),
        # before -i it ends the reading; after it, only the writing
        *("-t", f"{max_seconds + 1:.0f}", "-i", media.url),
        *(*FIRST_TRACK, *TO_SAMPLES),
    ]
    output = sandbox.run(command, limit_decoding(max_seconds), media.readable, Pipes(media.source, sink))
    if output.is_cut:
        raise TooLongError(f"more than {max_seconds} s of sound")
    if output.code != 0:
        raise _explain(output)
    if output.size_bytes == 0:
        raise NoAudioError("the audio track is empty")
    complaints = _find_complaints(output)
    if complaints:
        logger.warning("ffmpeg complained", extra={"stderr": complaints})
    return output.stdout


def limit_decoding(max_seconds: float) -> Limits:
    """What decoding so much sound may take."""
    return Limits(
        output_bytes=int(max_seconds * BYTES_PER_SECOND),
        seconds=120 + max_seconds / 4,
        cpu_seconds=int(60 + max_seconds / 20),
    )


def find_container(path: Path) -> str:
    """Which demuxer to read it with; a WorkerError when there is none."""
    if path.stat().st_size == 0:
        raise EmptyInputError
    return check_container(find_demuxer(path))


def check_container(demuxer: str | None) -> str:
    """What was found; UnsupportedMediaError when nothing was."""
    if demuxer is None:
        raise UnsupportedMediaError("the first bytes are those of no container that is known")
    return demuxer


def read_only_as(demuxer: str, protocol: str = "file") -> list[str]:
    """Nothing is guessed, and no further file, protocol, container or decoder comes in by way of this one."""
    return [
        *("-f", demuxer, "-format_whitelist", demuxer, "-protocol_whitelist", protocol),
        *("-codec_whitelist", AUDIO_DECODERS, "-max_streams", str(MOST_STREAMS)),
    ]


def _parse_seconds(output: Output) -> float | None:
    """The declared length; a WorkerError when there is no sound at all."""
    found: dict[str, Any] = json.loads(output.stdout)
    kinds = {stream.get("codec_type") for stream in found.get("streams", [])}
    if not kinds:
        raise UnreadableMediaError("no streams")
    if "audio" not in kinds:
        raise NoAudioError("no audio stream")
    try:
        return float(found["format"]["duration"])
    except (KeyError, ValueError):
        return None


def _explain(output: Output) -> WorkerError:
    """Whose fault it was: what costs computing time is the file's, what only lasts is the node's."""
    if output.is_late and output.cpu_seconds < PROBE.cpu_seconds:
        return InternalError("the time was up", SLOW_SENTENCE)
    if output.is_late or (output.code == KILLED and output.cpu_seconds >= PROBE.cpu_seconds - 1):
        return TooHeavyError(f"{output.cpu_seconds:.0f} s of computing", HEAVY_SENTENCE)
    if output.code == KILLED and not output.is_cut:
        return OutOfMemoryError("ffmpeg was killed")
    error = next((e for pattern, e in ERRORS.items() if re.search(pattern, output.stderr)), UnreadableMediaError)
    return error(_find_complaints(output))


def _find_complaints(output: Output) -> str:
    """What ffmpeg said, but for each decoder of a film that it was not allowed to use."""
    lines = output.stderr.splitlines()
    return "\n".join(line for line in lines if not re.search("not on whitelist|Last message repeated", line))
