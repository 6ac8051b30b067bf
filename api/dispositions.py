"""What a transcript is called when it is saved, and the header that says so (RFC 6266, RFC 8187). Pure.

Called by transcripts.
"""

import re
import unicodedata
from urllib.parse import quote

from api.filenames import UPLOADS_PREFIX

MAX_STEM_BYTES = 200
FALLBACK = "transcript"

_STAMP = re.compile(r"\d{8}_\d{6}_[0-9a-f]{8}_(?=.)")
_ENDING = re.compile(r"(?<=.)\.[A-Za-z0-9]{1,8}$", re.DOTALL)
_UNSAFE = re.compile(r"""["'\\/:*?<>|%;]""")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def build_download_name(source_key: str, output: str) -> str:
    """The name of the uploaded file, in its own script, with the ending of the format."""
    name = source_key.rsplit("/", 1)[-1]
    if source_key.startswith(UPLOADS_PREFIX):
        name = _STAMP.sub("", name, count=1)
    return f"{_clean(_ENDING.sub('', name)) or FALLBACK}.{output}"


def render_disposition(name: str, plain_stem: str = FALLBACK) -> str:
    """The value of Content-Disposition: the name as it is, and in ASCII for old clients.

    `plain_stem` is for those where ASCII has nothing of the name.
    """
    stem, _, ending = name.rpartition(".")
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    plain = _UNSAFE.sub("_", plain).strip("._- ") or plain_stem
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(name, safe='')}"


def _clean(name: str) -> str:
    """Without what no file name may hold, nor what cannot be seen."""
    visible = "".join(char for char in unicodedata.normalize("NFC", name) if unicodedata.category(char) not in _HIDDEN)
    clean = _UNSAFE.sub("_", visible).strip(". ")
    return clean.encode()[:MAX_STEM_BYTES].decode(errors="ignore").rstrip(". ")
