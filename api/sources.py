"""From a `video_url` to bucket and key, and back. Pure: no URL is ever fetched. Called by submit and routes."""

import re
from dataclasses import dataclass
from functools import cache
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit

from api.filenames import UPLOADS_PREFIX

MAX_URL_CHARS = 8192
MAX_KEY_BYTES = 1024

_SCHEME = re.compile(r"(?:https?|s3)://")
_RAW = re.compile(r"[\s\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
_AWS_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.)?"
    r"s3(?:[.-](?:dualstack\.)?[a-z]{2,3}(?:-[a-z]+)+-\d{1,2})?\.amazonaws\.com(?:\.cn)?"
)
_PLAIN = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)
"""What follows that in nearly all URLs that are sent: there is nothing to decode and nothing to doubt."""

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class VideoUrlError(ValueError):
    """The text is no URL of a stored video; the message says what to send."""


class ForeignVideoError(ValueError):
    """A well-formed URL of something that is not in this installation's uploads."""


@dataclass(frozen=True, slots=True)
class Storage:
    """Where uploads live: the bucket, and the endpoints that may stand in its URLs."""

    bucket: str
    public_endpoint: str | None = None
    endpoints: tuple[str, ...] = ()


def parse_video_url(url: str, storage: Storage) -> str:
    """The key that a URL names; VideoUrlError when malformed, ForeignVideoError when it is none of our uploads."""
    uploads = _find_uploads_url(storage)
    if url.startswith(uploads) and len(url) <= MAX_KEY_BYTES and _PLAIN.fullmatch(url, len(uploads)):
        return UPLOADS_PREFIX + url[len(uploads) :]
    return _parse(url, storage)


def _parse(url: str, storage: Storage) -> str:
    if len(url) > MAX_URL_CHARS or not _SCHEME.match(url):
        raise VideoUrlError("video_url must be an http, https or s3 URL: send the video_url of generate-url.")
    if _CONTROL.search(url):
        raise VideoUrlError("video_url holds control characters: send the video_url of generate-url.")
    bucket, key = _split_s3(url) if url.startswith("s3://") else _split_http(url, storage)
    _check_key(key)
    if bucket != storage.bucket or not key.startswith(UPLOADS_PREFIX):
        raise ForeignVideoError("No such upload here: send the video_url of generate-url after the file is uploaded.")
    return key


def build_video_url(key: str, storage: Storage) -> str:
    """The plain URL of an upload, as parse_video_url reads it back."""
    if storage.public_endpoint is None:
        return f"https://{storage.bucket}.s3.amazonaws.com/{quote(key)}"
    return f"{storage.public_endpoint}/{storage.bucket}/{quote(key)}"


def _split_s3(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or "@" in bucket or ":" in bucket:
        raise VideoUrlError("An s3 URL looks like s3://bucket/key.")
    return bucket, key


def _split_http(url: str, storage: Storage) -> tuple[str | None, str]:
    parts = _split_url(url)
    path = _decode(parts.path)
    bucket = _bucket_of_host(parts, storage)
    if bucket != "":
        return bucket, path[1:]
    bucket, _, key = path[1:].partition("/")
    return bucket, key


def _split_url(url: str) -> SplitResult:
    if _RAW.search(url):
        raise VideoUrlError("video_url holds spaces or backslashes: percent-encode the key, a space as %20.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise VideoUrlError("video_url has a broken host or port.") from error
    host = parts.netloc.removesuffix(f":{port}") if port is not None else parts.netloc
    if port == 0 or not _HOST.fullmatch(host) or any(not 0 < len(label) <= 63 for label in host.split(".")):
        raise VideoUrlError("video_url must name a plain host, without user name or password.")
    if "#" in url:
        raise VideoUrlError("video_url must not have a fragment: encode # in the key as %23.")
    return parts


def _bucket_of_host(parts: SplitResult, storage: Storage) -> str | None:
    """The bucket in the host name; empty when it stands in the path, None when the host is foreign."""
    origin = _origin(parts)
    bucket = _find_origins(storage).get(origin)
    if bucket is not None:
        return bucket
    match = _AWS_HOST.fullmatch(origin[1])
    if match is None or origin[2] not in (80, 443):
        return None
    return match["bucket"] or ""


@cache
def _find_uploads_url(storage: Storage) -> str:
    """What build_video_url puts before the name of an upload."""
    return build_video_url(UPLOADS_PREFIX, storage)


@cache
def _find_origins(storage: Storage) -> dict[tuple[str, str, int], str]:
    """The bucket that stands in the host of each origin of the installation's own; empty for the path's."""
    origins: dict[tuple[str, str, int], str] = {}
    for endpoint in map(urlsplit, storage.endpoints):
        origins[_origin(endpoint)] = ""
        origins[_origin(endpoint._replace(netloc=f"{storage.bucket}.{endpoint.netloc}"))] = storage.bucket
    return origins


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _decode(path: str) -> str:
    if _BROKEN_ESCAPE.search(path):
        raise VideoUrlError("video_url has a broken % escape: percent-encode the key.")
    try:
        return unquote_to_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise VideoUrlError("The key in video_url is not UTF-8: percent-encode the key as UTF-8.") from error


def _check_key(key: str) -> None:
    if not key or len(key.encode()) > MAX_KEY_BYTES:
        raise VideoUrlError(f"video_url must name an object with a key of at most {MAX_KEY_BYTES} bytes.")
    if _CONTROL.search(key) or {".", ".."} & set(key.split("/")):
        raise VideoUrlError("The key in video_url holds control characters or dot segments: send an uploaded key.")
