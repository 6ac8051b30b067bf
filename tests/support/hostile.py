"""Files that mean harm, or that are odd and mean none: one maker for each, by the name of its case.

`python3 -m tests.support.hostile FOLDER` writes them all to a folder. ffmpeg makes the good files that they start from.
"""

import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random

from crds.reasons import Reason
from tests.support.hostile_boxes import a_flac_of_silence, a_wav, an_avi_with_subtitles, insert, patch_after

SAMPLES = "samples"
EMPTY, BROKEN, REFUSED = Reason.EMPTY_INPUT, Reason.UNREADABLE_MEDIA, Reason.UNSUPPORTED_MEDIA
MUTE, LONG = Reason.NO_AUDIO, Reason.TOO_LONG

TONE = ("-map", "0:a")
PICTURE = ("-map", "1:v", "-frames:v", "1")
BOTH = ("-map", "0:a", "-map", "1:v")
SEEDS: dict[str, tuple[str, ...]] = {
    **{
        f"tone.{e}": TONE for e in ("mp3", "wav", "flac", "ogg", "aac", "avi", "ts", "wma", "aiff", "caf", "mpg", "flv")
    },
    **{f"tone.{e}": TONE for e in ("mkv", "mp4", "w64")},
    "film.mp4": (*BOTH, "-c:v", "mpeg4"),
    "film.mkv": (*BOTH, "-c:v", "mpeg4"),
    "film.avi": (*BOTH, "-c:v", "mpeg4"),
    "film.ts": (*BOTH, "-c:v", "mpeg2video"),
    "png.mov": ("-map", "0:a", *PICTURE, "-c:v", "png"),
    "fast.mp4": (*TONE, "-movflags", "+faststart"),
    "fragmented.mp4": (*TONE, "-movflags", "+frag_keyframe+empty_moov"),
    "mute.mp4": ("-map", "1:v"),
    "mute.mkv": ("-map", "1:v"),
    "mute.ts": ("-map", "1:v"),
    "u8.wav": (*TONE, "-c:a", "pcm_u8"),
    "s24.wav": (*TONE, "-c:a", "pcm_s24le"),
    "f32.wav": (*TONE, "-c:a", "pcm_f32le"),
    "alaw.wav": (*TONE, "-c:a", "pcm_alaw"),
    "surround.wav": (*TONE, "-af", "pan=5.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0"),
    "odd.wav": (*TONE, "-af", "pan=7c|c0=c0|c3=c0"),
    "late.mkv": (*TONE, "-output_ts_offset", "36000"),
    "early.mkv": (*TONE, "-output_ts_offset", "-0.5"),
    "titled.mp3": (*TONE, "-metadata", 'title=\x1b[2Jx\r\n{"level":"INFO","message":"forged"}'),
    "locked.mp4": (
        *TONE,
        *("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "00" * 16, "-encryption_kid", "01" * 16),
    ),
    "tracks.mkv": ("-map", "0:a", *("-map", "0:a") * 99, "-c:a", "pcm_u8", "-t", "0.1"),
    "crowd.mkv": ("-map", "0:a", *("-map", "0:a") * 199, "-c:a", "pcm_u8", "-t", "0.1"),
    "picture.png": PICTURE,
    "picture.jpg": PICTURE,
    "picture.gif": PICTURE,
    "picture.bmp": PICTURE,
}


@dataclass(frozen=True)
class Workshop:
    """The good files, and what the others try to reach: a file beside them, and a port that listens."""

    folder: Path
    canary: Path
    port: int

    def __getitem__(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/canary.wav"

    @property
    def hls(self) -> bytes:
        return an_hls(f"file://{self.canary}")


def open_workshop(folder: Path, port: int) -> Workshop:
    """Make the good files and the canary there."""
    sources = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=0.5")
    sources += ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=5:duration=0.5")
    outputs = [part for name, options in SEEDS.items() for part in (*options, "-strict", "-2", str(folder / name))]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *sources, *outputs], check=True)
    canary = folder / "canary.wav"
    canary.write_bytes(a_wav(Random(7).randbytes(64_000), rate=16_000, bits=16))
    return Workshop(folder, canary, port)


def an_hls(*urls: str) -> bytes:
    entries = "".join(f"#EXTINF:1,\n{url}\n" for url in urls)
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n{entries}#EXT-X-ENDLIST\n".encode()


def a_master(url: str) -> bytes:
    return f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n{url}\n".encode()


def a_dash(url: str) -> bytes:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
        ' mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="audio/wav">'
        '<Representation id="1" bandwidth="1">'
        f"<BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ).encode()


def a_zip(content: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("clip.mp4", content)
    return file.getvalue()


def a_big_png(w: Workshop) -> bytes:
    """A film whose one frame is a picture that says it has 60,000 times 60,000 dots."""
    content = patch_after(w["png.mov"], b"IHDR", 0, struct.pack(">II", 60_000, 60_000))
    return patch_after(content, b"png ", 28 - 4, struct.pack(">HH", 60_000, 60_000))


def an_id3(size: int) -> bytes:
    return b"ID3\x04\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def a_linked_mov(w: Workshop) -> bytes:
    """Its samples are said to lie in another file."""
    entry = f"file://{w.canary}".encode() + b"\0"
    return insert(w["tone.mp4"], (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"), b"url ", b"\0\0\0\0" + entry)


def broken_frames(w: Workshop) -> bytes:
    content = bytearray(w["tone.mp3"])
    for at in range(2000, len(content), 1500):
        content[at : at + 100] = bytes(100)
    return bytes(content)


class Case:
    """How a file is made, and how its run may end: versions of ffmpeg differ where there are several ways."""

    def __init__(self, make: Callable[[Workshop], bytes], *ends: str, max_seconds: float = 600) -> None:
        self.make = make
        self.ends = frozenset(ends)
        self.max_seconds = max_seconds


def _refused(content: Callable[[Workshop], bytes] | bytes) -> Case:
    return Case((lambda _: content) if isinstance(content, bytes) else content, REFUSED)


def _good(name: str) -> Case:
    return Case(lambda w: w[name], SAMPLES)


NO_MEDIA: dict[str, Case] = {
    "146_empty": Case(lambda _: b"", EMPTY),
    "147_one_byte": _refused(b"\0"),
    "147_seven_bytes": _refused(b"\0\0\0\x20fty"),
    "147_only_ftyp": Case(lambda _: b"\0\0\0\x14ftypisom\0\0\2\0isom", BROKEN),
    "148_random": _refused(Random(1).randbytes(100_000)),
    "149_text": _refused(b"This is a letter, not a film.\n" * 50),
    "149_pdf": _refused(b"%PDF-1.7\n" + bytes(2000)),
    "149_zip": _refused(lambda w: a_zip(w["tone.mp4"])),
    "149_elf": _refused(Path("/bin/true").read_bytes()[:20_000]),
    "149_html": _refused(b"<!DOCTYPE html><html><script>alert(1)</script></html>"),
    "149_svg": _refused(b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'),
    **{f"149_{e}": _refused(lambda w, name=f"picture.{e}": w[name]) for e in ("png", "jpg", "gif", "bmp")},  # type: ignore[misc]
    "149_heic": _refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500)),
    "149_webp": _refused(b"RIFF\x24\0\0\0WEBPVP8 " + bytes(100)),
    "149_srt": _refused(b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n"),
    "149_vtt": _refused(b"WEBVTT\n\n00:01.000 --> 00:02.000\nhello\n"),
    "149_ass": _refused(b"[Script Info]\nScriptType: v4.00+\n"),
    "149_lyrics": _refused(b"[00:01.00]words of a song\n" * 20),
    "190_gzip": _refused(b"\x1f\x8b\x08\0\0\0\0\0\0\3" + bytes(100)),
    "177_module": _refused(b"Extended Module: x" + bytes(2000)),
    "177_impulse": _refused(b"IMPM" + bytes(2000)),
    "177_protracker": _refused(bytes(1080) + b"M.K." + bytes(3000)),
    "177_nsf": _refused(b"NESM\x1a\1" + bytes(500)),
}
PLAYLISTS: dict[str, Case] = {
    "164_hls_local": _refused(lambda w: w.hls),
    "164_hls_relative": _refused(an_hls("canary.wav")),
    "164_hls_after_mark": _refused(lambda w: b"\xef\xbb\xbf" + w.hls),
    "164_hls_after_id3": _refused(lambda w: an_id3(10) + w.hls),
    "165_hls_http": _refused(lambda w: an_hls(w.url)),
    "165_hls_key": _refused(
        lambda w: w.hls.replace(b"#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{w.url}"\n#EXTINF'.encode())
    ),
    "165_hls_concat": _refused(lambda w: an_hls(f"concat:{w.url}|file:{w.canary}")),
    "166_master": _refused(lambda w: a_master(w.url)),
    "166_master_of_itself": _refused(a_master("media")),
    "166_data": _refused(a_master("data:application/x-mpegurl;base64,I0VYVE0zVQo=")),
    "167_dash_local": _refused(lambda w: a_dash(f"file://{w.canary}")),
    "167_dash_http": _refused(lambda w: a_dash(w.url)),
    "168_concat_relative": _refused(b"ffconcat version 1.0\nfile canary.wav\n"),
    "168_concat_absolute": _refused(lambda w: f"ffconcat version 1.0\nfile '{w.canary}'\n".encode()),
    "169_sdp": _refused(b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n"),
    "170_imf": _refused(
        b'<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"></CompositionPlaylist>'
    ),
    "170_smil": _refused(lambda w: f'<smil><body><audio src="{w.url}"/></body></smil>'.encode()),
    "170_lavfi": _refused(lambda w: f"amovie={w.canary}".encode()),
    "170_image2": _refused(b"img%03d.png"),
    "170_metadata": _refused(b";FFMETADATA1\ntitle=x\n"),
    "171_avi_with_playlist": Case(lambda w: an_avi_with_subtitles(w.hls), MUTE, BROKEN, REFUSED),
    "171_avi_with_http_playlist": Case(lambda w: an_avi_with_subtitles(an_hls(w.url)), MUTE, BROKEN, REFUSED),
    "172_mov_with_reference": Case(a_linked_mov, SAMPLES, BROKEN),
    "172_playlist_in_tone": Case(lambda w: w["tone.mp3"] + w.hls, SAMPLES),
}
DAMAGED: dict[str, Case] = {
    "151_no_moov": Case(lambda w: w["film.mp4"][:2000], BROKEN),
    "152_cut_in_half": Case(lambda w: w["fast.mp4"][: len(w["fast.mp4"]) // 2 + 600], SAMPLES),
    "152_cut_ogg": Case(lambda w: w["tone.ogg"][: len(w["tone.ogg"]) * 3 // 4], SAMPLES, BROKEN, MUTE),
    "174_ogg_damaged": Case(lambda _: b"OggS" + bytes(500), BROKEN),
    "174_mkv_endless": Case(
        lambda w: w["tone.mkv"][:4] + b"\x01" + b"\xff" * 7 + w["tone.mkv"][5:], BROKEN, SAMPLES, REFUSED
    ),
    "174_mp4_box_of_no_size": Case(lambda w: b"\0\0\0\0ftyp" + w["tone.mp4"][8:], BROKEN, SAMPLES),
    "174_mp4_box_too_large": Case(
        lambda w: w["fast.mp4"].replace(b"\0\0\0\x08free", b"\0\0\0\x01free" + b"\x7f" + b"\xff" * 7), BROKEN, SAMPLES
    ),
    "174_mp4_many_boxes": Case(lambda _: b"\0\0\0\x08moov" * 100_000, BROKEN),
    "174_mp4_deep_boxes": Case(
        lambda _: b"".join(struct.pack(">I", 8 * n) + b"moov" for n in range(20_000, 0, -1)), BROKEN
    ),
    "174_mp4_many_samples": Case(
        lambda w: patch_after(w["fast.mp4"], b"stsz", 8, b"\x0f\xff\xff\xff"), BROKEN, SAMPLES
    ),
    "174_avi_index_beyond": Case(lambda w: patch_after(w["tone.avi"], b"idx1", 12, b"\xff\xff\xff\x7f"), SAMPLES),
    "174_ogg_chained": Case(lambda w: w["tone.ogg"] * 300, SAMPLES, LONG),
    "174_flac_huge_picture": Case(lambda _: b"fLaC\x06\xff\xff\xff" + bytes(5000), BROKEN),
    "174_caf_huge_chunk": Case(
        lambda w: patch_after(w["tone.caf"], b"data", 0, b"\x7f" + b"\xff" * 7), SAMPLES, BROKEN, LONG
    ),
    "175_id3_of_a_megabyte": Case(lambda w: an_id3(1 << 20) + w["tone.mp3"], SAMPLES),
    "175_id3_and_nothing": Case(lambda _: an_id3(1 << 20), REFUSED),
    "175_id3_that_lies": _refused(b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100)),
    "175_id3_many": _refused(an_id3(0) * 5000),
    "175_broken_frames": Case(broken_frames, SAMPLES),
    "182_rare_codec": Case(lambda w: patch_after(w["tone.wav"], b"fmt ", 4, b"\x22\0"), REFUSED),
    "173_encrypted": Case(lambda w: w["locked.mp4"], BROKEN, SAMPLES),
}
BOMBS: dict[str, Case] = {
    "155_says_100_hours": Case(lambda _: a_wav(bytes(100), rate=8000, bits=8, declared=2_880_000_000), SAMPLES, LONG),
    "155_mp4_says_100_hours": Case(
        lambda w: patch_after(w["tone.mp4"], b"mdhd", 12, b"\0\0\0\x01\0\x05\x7e\x40"), LONG, SAMPLES
    ),
    "155_flac_says_nothing": Case(lambda _: a_flac_of_silence(10_000, declared=0), LONG),
    "156_wav_of_one_hertz": Case(lambda _: a_wav(bytes(20_000), rate=1, bits=8), LONG),
    "157_flac_of_24_hours": Case(lambda _: a_flac_of_silence(86_400, declared=86_400), LONG),
    "157_flac_of_24_hours_that_says_one_second": Case(lambda _: a_flac_of_silence(86_400, declared=1), LONG, SAMPLES),
    "157_amr_of_24_hours": Case(lambda _: b"#!AMR\n" + b"\x7c" * 4_320_000, LONG),
    "159_no_sample_rate": Case(lambda _: a_wav(bytes(2000), rate=0), BROKEN),
    "159_sample_rate_of_2_31": Case(lambda _: a_wav(bytes(2000), rate=1 << 31), BROKEN),
    "159_sample_rate_of_655350": Case(lambda _: a_wav(bytes(20_000), rate=655_350), SAMPLES),
    "159_no_channels": Case(lambda _: a_wav(bytes(2000), channels=0), BROKEN),
    "159_255_channels": Case(lambda _: a_wav(bytes(255 * 2000), channels=255), SAMPLES, BROKEN),
    "159_65535_channels": Case(lambda _: a_wav(bytes(65535 * 20), channels=65535), BROKEN),
    "161_100_tracks": Case(lambda w: w["tracks.mkv"], SAMPLES),
    "161_200_tracks": Case(lambda w: w["crowd.mkv"], BROKEN, SAMPLES),
    "180_huge_frame": Case(a_big_png, SAMPLES),
    "178_no_samples": Case(lambda _: a_wav(b""), MUTE, BROKEN),
    "178_one_sample": Case(lambda _: a_wav(b"\1\0", rate=16_000), SAMPLES),
}
GOOD: dict[str, Case] = {
    "150_mute_mp4": Case(lambda w: w["mute.mp4"], MUTE),
    "150_mute_mkv": Case(lambda w: w["mute.mkv"], MUTE),
    "150_mute_ts": Case(lambda w: w["mute.ts"], MUTE),
    "154_fragmented": _good("fragmented.mp4"),
    **{
        f"160_{n.partition('.')[0]}": _good(n)
        for n in ("u8.wav", "s24.wav", "f32.wav", "alaw.wav", "surround.wav", "odd.wav")
    },
    "163_title": _good("titled.mp3"),
    "176_mp4_and_zip": Case(lambda w: w["tone.mp4"] + a_zip(b"x"), SAMPLES),
    "176_wav_and_html": Case(lambda w: w["tone.wav"] + b"<html><script>alert(1)</script></html>", SAMPLES),
    "178_silence": Case(lambda _: a_wav(bytes(320_000), rate=16_000), SAMPLES),
    "178_noise": Case(lambda _: a_wav(Random(2).randbytes(320_000), rate=16_000), SAMPLES),
    "178_clipping": Case(lambda _: a_wav(b"\xff\x7f\x00\x80" * 8000, rate=16_000), SAMPLES),
    "178_ten_milliseconds": Case(lambda _: a_wav(bytes(320), rate=16_000), SAMPLES),
    "179_late": Case(lambda w: w["late.mkv"], LONG),
    "179_early": _good("early.mkv"),
    "181_film_ts": _good("film.ts"),
    "181_film_avi": _good("film.avi"),
    "181_film_mkv": _good("film.mkv"),
}
CASES = NO_MEDIA | PLAYLISTS | DAMAGED | BOMBS | GOOD


def main(folder: Path) -> None:
    """Write every case to a file of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = folder / "seeds"
    seeds.mkdir(exist_ok=True)
    workshop = open_workshop(seeds, 9)
    for name, case in CASES.items():
        (folder / name).write_bytes(case.make(workshop))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
