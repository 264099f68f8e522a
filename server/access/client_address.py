"""A request's client address, scheme and host, also behind proxies.

X-Forwarded-For, -Proto and -Host count only on connections from a trusted proxy, because any client can send them. Of
several values the last one counts: the nearest proxy added it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from aiohttp import web

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
IPV6_PREFIX_BITS = 64  # the smallest network that providers assign to one customer


@dataclass(frozen=True)
class ClientAddress:
    ip: Address | None  # None: the transport has none, such as a Unix socket
    scheme: str
    host: str  # with the port, if the request named one

    @property
    def host_name(self) -> str:
        """Lower case, without port; "" if `host` is malformed."""
        try:
            return urlsplit(f"//{self.host}").hostname or ""
        except ValueError:
            return ""

    @property
    def network(self) -> str:
        """The smallest network that belongs to this client alone; quotas count by it."""
        if isinstance(self.ip, IPv6Address):
            return str(ip_network((int(self.ip), IPV6_PREFIX_BITS), strict=False))
        return str(self.ip)


def client_network(address: str) -> str:
    """The network by which the clients at a socket's address are counted."""
    return ClientAddress(parse_address(address), "", "").network


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    return _is_in(parse_address(address), trusted)


def resolve_client_address(request: web.Request, trusted: Sequence[Network]) -> ClientAddress:
    address = parse_address(request.remote or "")
    host = request.headers.get("Host", "")  # without this header `request.host` would do a blocking DNS lookup
    if not _is_in(address, trusted):
        return ClientAddress(address, request.scheme, host)
    proto = (_values(request, "X-Forwarded-Proto") or [request.scheme])[-1].lower()
    host = (_values(request, "X-Forwarded-Host") or [host])[-1]
    for value in reversed(_values(request, "X-Forwarded-For")):
        previous = parse_address(value)
        if previous is None:
            break  # malformed: the previous hop is the last known one
        address = previous
        if not _is_in(address, trusted):
            break
    return ClientAddress(address, proto if proto in ("http", "https") else request.scheme, host)


def _values(request: web.Request, name: str) -> list[str]:
    return [value.strip() for value in ",".join(request.headers.getall(name, [])).split(",") if value.strip()]


def parse_address(text: str) -> Address | None:
    """Parse an address with or without port. IPv4-mapped IPv6 addresses become IPv4."""
    for candidate in (text, text.rpartition(":")[0].strip("[]")):
        try:
            address = ip_address(candidate)
        except ValueError:
            continue
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return mapped or address
    return None


def _is_in(address: Address | None, networks: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in networks)
