"""Who sent a request, and what he asked for: also where a proxy stands between. Knows no key.

What a proxy says in X-Forwarded-For, -Proto and -Host is believed only where the connection comes from a trusted one:
anybody can write such headers. Of several values the last one counts, which the nearest proxy has written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from aiohttp import web

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
OWN_NET_BITS = 64  # of an IPv6 address: what one customer of a provider has for himself at least


@dataclass(frozen=True)
class Visitor:
    address: Address | None  # None: no network between us
    scheme: str
    host: str  # with a port, where it was given

    @property
    def host_name(self) -> str:
        """Lower case, without port; "" where it is none."""
        try:
            return urlsplit(f"//{self.host}").hostname or ""
        except ValueError:
            return ""

    @property
    def network(self) -> str:
        """The smallest network that is surely his own."""
        if isinstance(self.address, IPv6Address):
            return str(ip_network((int(self.address), OWN_NET_BITS), strict=False))
        return str(self.address)


def find_visitor(request: web.Request, trusted: Sequence[Network]) -> Visitor:
    address = _parse(request.remote or "")
    host = request.headers.get("Host", "")  # where there is none, `request.host` would ask the DNS, and wait
    if not _is_in(address, trusted):
        return Visitor(address, request.scheme, host)
    proto = (_values(request, "X-Forwarded-Proto") or [request.scheme])[-1].lower()
    host = (_values(request, "X-Forwarded-Host") or [host])[-1]
    for value in reversed(_values(request, "X-Forwarded-For")):
        before = _parse(value)
        if before is None:
            break  # whoever wrote this, the address so far is the last that we know
        address = before
        if not _is_in(address, trusted):
            break
    return Visitor(address, proto if proto in ("http", "https") else request.scheme, host)


def _values(request: web.Request, name: str) -> list[str]:
    return [value.strip() for value in ",".join(request.headers.getall(name, [])).split(",") if value.strip()]


def _parse(text: str) -> Address | None:
    """With or without a port; an IPv4 address that came over IPv6 is what it is."""
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
