"""Whether a callback may go where a request wants it, as far as the URL alone tells. Pure; called by submit.

No name is looked up here: what an address turns out to be is judged again by those who connect to it.
"""

import re
import socket
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

from api.errors import Code, ProblemError
from api.settings import ApiSettings
from crds.addresses import PORTS, Allowed, judge

BROKEN = (
    "callback_url must be a plain http or https URL in ASCII: no user name, no fragment, international names as xn--."
)
INSIDE = "callback_url leads inside: name a receiver outside, or have the installation allow its host."
PORT = "callback_url must use port 80 or 443, unless the installation allows its host."

INSIDE_DOMAINS = (
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "svc",
)
MAX_NAME_CHARS = 253
MAX_LABEL_CHARS = 63

_URL = re.compile(r"https?://[!-~]+")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def check_destination(url: str, settings: ApiSettings) -> None:
    """A ProblemError for a callback_url that no callback would be sent to."""
    fault = find_obstacle(url, Allowed.parse(settings.callback_allowed_hosts))
    if fault is not None:
        faults = [{"field": "callback_url", "message": fault}]
        raise ProblemError(422, Code.VALIDATION_FAILED, fault, {"errors": faults})


def find_obstacle(url: str, allowed: Allowed) -> str | None:
    """What is wrong with the URL, in a sentence; None when nothing is."""
    try:
        parts, port = _split(url)
        address = _parse_address(parts.netloc, parts.hostname or "")
    except ValueError:
        return BROKEN
    host = parts.hostname or ""
    if address is not None:
        reason = judge(host, port, [address], allowed)
        return None if reason is None else (PORT if reason == "port" else INSIDE)
    if allowed.has_name(host):
        return None
    if _is_inside(host):
        return INSIDE
    return None if port in PORTS else PORT


def _split(url: str) -> tuple[SplitResult, int]:
    """The parts and the port; ValueError for what parsers read differently."""
    parts = urlsplit(url)
    if not _URL.fullmatch(url) or set("\\#") & set(url) or "@" in parts.netloc or parts.port == 0:
        raise ValueError("not plain")
    return parts, parts.port or (443 if parts.scheme == "https" else 80)


def _parse_address(netloc: str, host: str) -> str | None:
    """The address that the host spells, in any way that resolvers take; None for a name. ValueError for neither."""
    if netloc.startswith("[") and "%" not in host:
        return str(IPv6Address(host))
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > MAX_NAME_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("no host name")
    if _NUMBER.fullmatch(labels[-1]):
        return _parse_numbers(name)
    if max(map(len, labels)) > MAX_LABEL_CHARS:
        raise ValueError("no host name")
    return None


def _parse_numbers(name: str) -> str:
    """127.1, 0x7f.1, 2130706433 and the like."""
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError as error:
        raise ValueError("no address") from error


def _is_inside(host: str) -> bool:
    name = host.removesuffix(".")
    return "." not in name or any(name == domain or name.endswith(f".{domain}") for domain in INSIDE_DOMAINS)
