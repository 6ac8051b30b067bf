"""Clean file names, and the object keys made of them. Pure; called by the generate-url route and openai.audio."""

import re
import unicodedata
from datetime import datetime

MAX_NAME_BYTES = 1024
MAX_CLEAN_BYTES = 200
"""Some S3 servers keep each part of a key as a file name, of at most 255 bytes."""

UPLOADS_PREFIX = "videos/"
FALLBACK = "file"


class FilenameError(ValueError):
    """The name cannot be used; the message says what to do."""


def clean_filename(name: str) -> str:
    """The name with letters and digits of any script and `._-` kept; FilenameError when nothing is there to keep."""
    if any(unicodedata.category(char) == "Cc" for char in name):
        raise FilenameError("The file name holds control characters: remove them.")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise FilenameError(f"The file name is longer than {MAX_NAME_BYTES} bytes: shorten it.")
    last = name.replace("\\", "/").rsplit("/", 1)[-1].strip()
    if not last.strip(". "):
        raise FilenameError("The file name is empty: send the name of the file, such as example.mp4.")
    return _shorten(_keep_letters(unicodedata.normalize("NFC", last))) or FALLBACK


def _keep_letters(name: str) -> str:
    visible = "".join(char for char in name if unicodedata.category(char) != "Cf")
    kept = "".join(char if char in "._-" or unicodedata.category(char)[0] in "LNM" else " " for char in visible)
    joined = re.sub(r" +", "_", kept.strip())
    return re.sub(r"\.{2,}", ".", joined).strip("._-")


def _shorten(name: str) -> str:
    if len(name.encode()) <= MAX_CLEAN_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > 16:
        stem, dot, ending = name, "", ""
    room = MAX_CLEAN_BYTES - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + ending


def build_upload_key(user: str, name: str, now: datetime, token: str) -> str:
    """`videos/<user>/<UTC yyyymmdd_HHMMSS>_<8 hex>_<cleaned name>`; FilenameError as clean_filename."""
    return f"{UPLOADS_PREFIX}{user}/{now:%Y%m%d_%H%M%S}_{token}_{clean_filename(name)}"
