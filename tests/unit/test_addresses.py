"""What is inside, and what an installation allows of it; case numbers are those of the bad-input corpus."""

import pytest

from crds.addresses import FORBIDDEN, Allowed, judge, name_forbidden

GOOD = "93.184.215.14"
NOTHING = Allowed()

INSIDE = {
    "0.0.0.0": "this network",
    "0.255.255.255": "this network",
    "10.0.0.0": "private",
    "10.255.255.255": "private",
    "100.64.0.0": "shared",
    "100.127.255.255": "shared",
    "100.100.100.200": "metadata",
    "127.0.0.1": "loopback",
    "127.255.255.255": "loopback",
    "168.63.129.16": "metadata",
    "169.254.0.1": "link-local",
    "169.254.169.254": "metadata",
    "172.16.0.0": "private",
    "172.31.255.255": "private",
    "192.0.0.1": "protocol assignments",
    "192.0.2.1": "documentation",
    "192.88.99.1": "6to4 relay",
    "192.168.255.255": "private",
    "198.18.0.0": "benchmarking",
    "198.19.255.255": "benchmarking",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.254": "reserved",
    "255.255.255.255": "broadcast",
    "::": "unspecified",
    "::1": "loopback",
    "::7f00:1": "IPv4-compatible",
    "::ffff:127.0.0.1": "loopback",
    "::ffff:a9fe:a9fe": "metadata",
    "::ffff:0:7f00:1": "IPv4-translated",
    "64:ff9b::a9fe:a9fe": "metadata",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b:1::a9fe:a9fe": "NAT64 of a site",
    "100::1": "discard",
    "2001::1": "Teredo",
    "2001:2::1": "protocol assignments",
    "2001:db8::1": "documentation",
    "2002:a9fe:a9fe::": "6to4",
    "3fff::1": "documentation",
    "4000::1": "unassigned",
    "5f00::1": "unassigned",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fe80::1%a%b": "link-local",
    "::ffff:127.0.0.1%eth0": "loopback",
    "127.0.0.1%eth0": "loopback",
    "febf::1": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
}
OUTSIDE = [
    GOOD,
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.17",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2600:9000::1",
    "2a00:1450::1",
    "::ffff:1.1.1.1",
    "64:ff9b::1.1.1.1",
]


@pytest.mark.parametrize(("address", "name"), INSIDE.items())
def test_cases_91_to_98_an_address_inside_is_named(address: str, name: str) -> None:
    assert name_forbidden(address) == name


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_outside_has_no_such_name(address: str) -> None:
    assert name_forbidden(address) is None


def test_every_row_of_the_table_is_reached() -> None:
    assert {name for _, name in FORBIDDEN} == set(INSIDE.values())


@pytest.mark.parametrize("addresses", [[GOOD, "127.0.0.1"], ["::1", GOOD], [GOOD, "64:ff9b::7f00:1"]])
def test_case_104_one_bad_address_is_enough(addresses: list[str]) -> None:
    assert judge("example.com", 443, addresses, NOTHING) == "loopback"


@pytest.mark.parametrize("port", [22, 25, 2379, 6443, 8080, 10250, 0, -1, 65536, 99999])
def test_case_109_other_ports_are_refused(port: int) -> None:
    assert judge("example.com", port, [GOOD], NOTHING) == "port"


@pytest.mark.parametrize("port", [80, 443])
def test_a_host_outside_may_be_called(port: int) -> None:
    assert judge("example.com", port, [GOOD, "2600:9000::1"], NOTHING) is None


@pytest.mark.parametrize("host", ["Hooks.svc", "hooks.svc.", "HOOKS.SVC"])
def test_a_name_that_is_allowed_may_be_called_on_any_port(host: str) -> None:
    allowed = Allowed.parse(["hooks.svc.", "10.1.0.0/16"])
    assert judge(host, 8080, ["10.9.9.9"], allowed) is None
    assert judge(host, 65536, ["10.9.9.9"], allowed) == "port"


@pytest.mark.parametrize(("port", "reason"), [(0, "port"), (-1, "port"), (1, None), (65535, None), (65536, "port")])
def test_what_is_allowed_may_be_called_on_every_port_that_there_is(port: int, reason: str | None) -> None:
    allowed = Allowed.parse(["hooks.svc", "fe80::/10"])
    assert judge("hooks.svc", port, ["10.9.9.9"], allowed) == reason
    assert judge("example.com", port, ["fe80::1%eth0"], allowed) == reason


@pytest.mark.parametrize("host", ["a.hooks.svc", "hooks.svc.example.com", "hooks"])
def test_a_name_that_is_only_like_an_allowed_one_may_not(host: str) -> None:
    assert judge(host, 443, ["10.9.9.9"], Allowed.parse(["hooks.svc"])) == "private"


def test_a_network_that_is_allowed_may_be_called_on_any_port() -> None:
    allowed = Allowed.parse(["10.1.2.3/16", "fd00::5", "192.168.7.7"])
    assert judge("a", 8080, ["10.1.255.1", "::ffff:10.1.0.1", "fd00::5", "192.168.7.7"], allowed) is None
    assert judge("a", 8080, ["10.1.255.1", "10.2.0.1"], allowed) == "private"
    assert judge("a", 8080, ["10.1.255.1", GOOD], allowed) == "port"


@pytest.mark.parametrize(
    "word", ["10.0.0.0/33", "http://example.com", "a b", "", "*.example.com", "host:8080", "[::1]"]
)
def test_a_word_that_is_neither_name_nor_network_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="allowed host"):
        Allowed.parse([word])
