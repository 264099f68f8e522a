import ipaddress
from itertools import product

import pytest

from sayline_tts.server.voices.public_address import SPECIAL_V4, SPECIAL_V6, is_public

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "185.199.108.153",
    "192.0.1.1",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "168.63.129.15",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450:4001:82a::200e",
    "2400:cb00::1",
    "2001:200::1",
    "3ffd::1",
    "2620:4f:7fff::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "64:ff9b::101:101",
    "2606:4700::5efe:808:808",
]

SPECIAL = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "192.31.196.1",
    "192.52.193.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "224.0.0.251",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "::ffff:0:8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.1.2.3",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::c0a8:1",
    "64:ff9b:1::1",
    "64:ff9b:1::8.8.8.8",
    "64:ff9b:0:1::8.8.8.8",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3ffe::1",
    "3fff::1",
    "3fff:fff::1",
    "2606:4700::5efe:127.0.0.1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:192.168.0.1",
    "2606:4700::200:5efe:a9fe:a9fe",
    "4000::1",
    "5f00::1",
    "8000::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff::1",
    "fe80::1",
    "fe80::1%1",
    "fe80::1%eth0",
    "fec0::1",
    "fe80::5efe:7f00:1",
    "ff02::1",
    "ff0e::1",
    "ff02::fb",
    "2606:4700:4700::1111%1",
]

NO_ADDRESS = ["", "localhost", "example.com", "127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "8.8.8.8 ", "[::1]"]
NO_ADDRESS += ["1.1.1.1/32", "08.8.8.8", "8.8.8", "٨.8.8.8", "1.1.1.1\0", "::ffff:8.8.8.8.8", "1.1.1.1:443"]


def test_table_is_long_enough() -> None:
    assert len(set(PUBLIC)) >= 25
    assert len(set(SPECIAL)) >= 85


@pytest.mark.parametrize("address", PUBLIC)
def test_internet_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", NO_ADDRESS)
def test_unusual_notations_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_special_networks_are_covered_from_first_to_last_address() -> None:
    for first, last in ((network[0], network[-1]) for networks in (SPECIAL_V4, SPECIAL_V6) for network in networks):
        assert not is_public(str(first))
        assert not is_public(str(last))


@pytest.mark.parametrize(("around", "network"), [*product(("::ffff:0:0", "64:ff9b::"), SPECIAL_V4)])
def test_embedded_special_ipv4_addresses_are_not_public(around: str, network: ipaddress.IPv4Network) -> None:
    for inside in (network[0], network[-1]):
        assert not is_public(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(around)) + int(inside))))


def test_public_addresses_are_global_for_python_too() -> None:
    for address in PUBLIC:
        parsed = ipaddress.ip_address(address)
        assert parsed.is_global or address.startswith(("::ffff", "64:ff9b"))
        assert not parsed.is_multicast
