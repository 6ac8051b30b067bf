"""Where callbacks may go: not to addresses inside, but for those that the installation allows.

Pure; used by the doors to receivers in controller and worker, and by the api at submit.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator

PORTS = (80, 443)
MAX_PORT = 65535

FORBIDDEN = (
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.100.100.200/32", "metadata"),  # Alibaba
    ("100.64.0.0/10", "shared"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "metadata"),  # Azure
    ("169.254.169.254/32", "metadata"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b:1::/48", "NAT64 of a site"),
    ("100::/64", "discard"),
    ("2001::/32", "Teredo"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("fd00:ec2::254/128", "metadata"),  # AWS
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
    ("::/3", "unassigned"),
    ("4000::/2", "unassigned"),
    ("8000::/1", "unassigned"),
)
"""The first that holds an address names it. ipaddress.is_global is not used: it changes with the Python release."""

CARRIERS = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""IPv4 in IPv6, mapped and by NAT64: the address inside is judged, so that IPv6-only clusters reach IPv4 receivers."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NETWORKS = tuple((ip_network(text), name) for text, name in FORBIDDEN)
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an installation allows although it is inside, on any port: names of hosts, and networks."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, words: Iterable[str]) -> Self:
        """ValueError for a word that is neither a host name nor an address or network."""
        names, networks = set(), []
        for word in words:
            network = _parse_network(word)
            if network is None:
                names.add(_parse_name(word))
            else:
                networks.append(network)
        return cls(frozenset(names), tuple(networks))

    def has_name(self, host: str) -> bool:
        return _fold(host) in self.names

    def has_address(self, address: str) -> bool:
        found = _unwrap(address)
        return any(found in network for network in self.networks)


def _split(words: object) -> object:
    return tuple(word.strip() for word in words.split(",") if word.strip()) if isinstance(words, str) else words


def _check(words: tuple[str, ...]) -> tuple[str, ...]:
    Allowed.parse(words)
    return words


AllowedHosts = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_check)]
"""Words of Allowed.parse as a setting, comma separated: checked when they are read."""


def name_forbidden(address: str) -> str | None:
    """The forbidden network that an IP address lies in; None when it lies in none. ValueError when it is no address."""
    found = _unwrap(address)
    return next((name for network, name in _NETWORKS if found in network), None)


def judge(host: str, port: int, addresses: Iterable[str], allowed: Allowed) -> str | None:
    """Why a host that has these addresses must not be called; None when it may be.

    One bad address is enough: a name with a good and a bad one is a way in, not a receiver.
    """
    if not 0 < port <= MAX_PORT:
        return "port"
    if allowed.has_name(host):
        return None
    return next((reason for a in addresses if (reason := _judge_address(a, port, allowed))), None)


def _judge_address(address: str, port: int, allowed: Allowed) -> str | None:
    if allowed.has_address(address):
        return None
    return name_forbidden(address) or (None if port in PORTS else "port")


def _unwrap(address: str) -> Address:
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and any(found in carrier for carrier in CARRIERS):
        return IPv4Address(int(found) & 0xFFFFFFFF)
    return found


def _parse_network(word: str) -> Network | None:
    try:
        return ip_network(word, strict=False)
    except ValueError:
        return None


def _parse_name(word: str) -> str:
    name = _fold(word)
    if not _NAME.fullmatch(name):
        raise ValueError("an allowed host is a host name, an IP address or a network such as 10.0.0.0/8")
    return name


def _fold(host: str) -> str:
    return host.lower().removesuffix(".")
