"""Client addresses with and without trusted proxies."""

from ipaddress import ip_address

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.server.access.client_address import ClientAddress, resolve_client_address
from tests.server.access_server import access_server

FORWARDED = {"X_Forwarded_For": "203.0.113.9", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "tts.example"}
BEHIND = {"trusted_proxies": "127.0.0.1, 10.0.0.0/8, fd00::/8", "api_key": "secret"}
KEY = {"X_API_Key": "secret"}


async def test_forwarded_headers_of_untrusted_peers_are_ignored() -> None:
    for trusted in ("", "10.0.0.0/8"):
        async with access_server(api_key="secret", trusted_proxies=trusted) as one:
            assert (await one.request("/at", **FORWARDED, **KEY))[1] == f"127.0.0.1 http {one.address}"


async def test_forwarded_headers_of_trusted_proxy_are_used() -> None:
    async with access_server(**BEHIND) as one:
        assert (await one.request("/at", **FORWARDED, **KEY))[1] == "203.0.113.9 https tts.example"
        assert (await one.request("/at", **KEY))[1] == f"127.0.0.1 http {one.address}"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.9, 10.1.2.3", "203.0.113.9"),  # two proxies
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the first may be forged by the client
        ("10.9.9.9, 10.1.2.3", "10.9.9.9"),  # all are trusted
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, unknown", "127.0.0.1"),
        ("203.0.113.9, , 10.1.2.3,", "203.0.113.9"),
        ("unknown, 10.1.2.3", "10.1.2.3"),
        ("", "127.0.0.1"),
    ],
)
async def test_last_untrusted_address_is_used(forwarded: str, address: str) -> None:
    async with access_server(**BEHIND) as one:
        response = await one.request("/at", X_Forwarded_For=forwarded, **KEY)
    assert response[1].split()[0] == address


async def test_last_forwarded_proto_and_host_are_used() -> None:
    async with access_server(**BEHIND) as one:
        response = await one.request(
            "/at", X_Forwarded_Proto="http, HTTPS", X_Forwarded_Host="evil.example, a.example", **KEY
        )
        assert response[1] == "127.0.0.1 https a.example"
        response = await one.request("/at", X_Forwarded_Proto="gopher", **KEY)
        assert response[1].split()[1] == "http"


def test_request_without_peer_has_no_address() -> None:
    request = make_mocked_request("GET", "/", {"X-Forwarded-For": "203.0.113.9"})
    client_address = resolve_client_address(request, ())
    assert (client_address.ip, client_address.host) == (None, "")
    assert client_address.network == "None"


@pytest.mark.parametrize(
    ("host", "name"), [("A.example:80", "a.example"), ("[::1]:8000", "::1"), ("", ""), ("[::1", ""), ("a@b", "b")]
)
def test_host_name_has_no_port(host: str, name: str) -> None:
    assert ClientAddress(None, "http", host).host_name == name


def test_network_is_the_address_or_the_ipv6_64_prefix() -> None:
    assert ClientAddress(ip_address("203.0.113.9"), "http", "").network == "203.0.113.9"
    assert ClientAddress(ip_address("2001:db8::1:2"), "http", "").network == "2001:db8::/64"


@given(st.text(max_size=100))
def test_any_header_value_is_accepted(value: str) -> None:
    headers = dict.fromkeys(("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Host"), value)
    request = make_mocked_request("GET", "/", headers)
    client_address = resolve_client_address(request, ())
    assert isinstance(client_address.host_name, str)
