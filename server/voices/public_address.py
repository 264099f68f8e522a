"""Whether an IP address is on the public Internet, for connections to hosts that a client names (SSRF protection).

`ipaddress.is_global` is not enough: it accepts multicast, and addresses that embed another one, such as
64:ff9b::7f00:1, which some networks translate to 127.0.0.1. So IPv4 is public except for the list below, and IPv6 only
in 2000::/3 except for its list, or in the translation prefix of RFC 6052 if the embedded address is public. Source:
IANA's registries of special-purpose addresses.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

SPECIAL_V4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; some clouds serve metadata here
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's virtual machine host
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
]
UNICAST_V6 = IPv6Network("2000::/3")
SPECIAL_V6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo (embeds two IPv4 addresses), benchmarks, ORCHID, AS112
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the former 6bone test network
        "3fff::/20",  # documentation
    )
]
MAPPED_V4 = IPv6Network("::ffff:0:0/96")
TRANSLATED_V4 = IPv6Network("64:ff9b::/96")
ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # bits 32 to 63 of a tunnel address that embeds an IPv4 address


def is_public(address: str) -> bool:
    """Whether `address` is public. False also for anything not in canonical notation."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return _is_public_v4(parsed) if isinstance(parsed, IPv4Address) else _is_public_v6(parsed)


def _is_public_v4(address: IPv4Address) -> bool:
    return not any(address in network for network in SPECIAL_V4)


def _is_public_v6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    embedded = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in MAPPED_V4 or address in TRANSLATED_V4:
        return _is_public_v4(embedded)
    if address not in UNICAST_V6 or any(address in network for network in SPECIAL_V6):
        return False
    return (int(address) >> 32) & 0xFFFF_FFFF not in ISATAP or _is_public_v4(embedded)
