"""Who a request comes from, with and without a proxy that is trusted."""

from ipaddress import ip_address

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.server.access.client_address import Visitor, find_visitor
from tests.server.doorway import doorway

FORWARDED = {"X_Forwarded_For": "203.0.113.9", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "tts.example"}
BEHIND = {"trusted_proxies": "127.0.0.1, 10.0.0.0/8, fd00::/8", "api_key": "secret"}
KEY = {"X_API_Key": "secret"}


async def test_nobody_is_believed_unless_he_is_trusted() -> None:
    for trusted in ("", "10.0.0.0/8"):
        async with doorway(api_key="secret", trusted_proxies=trusted) as one:
            assert (await one.ask("/at", **FORWARDED, **KEY))[1] == f"127.0.0.1 http {one.address}"


async def test_a_trusted_proxy_says_for_whom_it_asks() -> None:
    async with doorway(**BEHIND) as one:
        assert (await one.ask("/at", **FORWARDED, **KEY))[1] == "203.0.113.9 https tts.example"
        assert (await one.ask("/at", **KEY))[1] == f"127.0.0.1 http {one.address}"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.9, 10.1.2.3", "203.0.113.9"),  # two proxies
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the first he wrote himself
        ("10.9.9.9, 10.1.2.3", "10.9.9.9"),  # all are ours
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
async def test_the_last_address_that_is_no_proxy_s_counts(forwarded: str, address: str) -> None:
    async with doorway(**BEHIND) as one:
        told = await one.ask("/at", X_Forwarded_For=forwarded, **KEY)
    assert told[1].split()[0] == address


async def test_the_nearest_proxy_s_word_counts() -> None:
    async with doorway(**BEHIND) as one:
        told = await one.ask("/at", X_Forwarded_Proto="http, HTTPS", X_Forwarded_Host="evil.example, a.example", **KEY)
        assert told[1] == "127.0.0.1 https a.example"
        told = await one.ask("/at", X_Forwarded_Proto="gopher", **KEY)
        assert told[1].split()[1] == "http"


def test_without_a_network_there_is_no_address_and_nobody_is_trusted() -> None:
    request = make_mocked_request("GET", "/", {"X-Forwarded-For": "203.0.113.9"})
    visitor = find_visitor(request, ())
    assert (visitor.address, visitor.host) == (None, "")
    assert visitor.network == "None"


@pytest.mark.parametrize(
    ("host", "name"), [("A.example:80", "a.example"), ("[::1]:8000", "::1"), ("", ""), ("[::1", ""), ("a@b", "b")]
)
def test_a_host_s_name_is_without_its_port(host: str, name: str) -> None:
    assert Visitor(None, "http", host).host_name == name


def test_what_surely_belongs_to_one_visitor() -> None:
    assert Visitor(ip_address("203.0.113.9"), "http", "").network == "203.0.113.9"
    assert Visitor(ip_address("2001:db8::1:2"), "http", "").network == "2001:db8::/64"


@given(st.text(max_size=100))
def test_any_header_gives_some_visitor(value: str) -> None:
    headers = dict.fromkeys(("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Host"), value)
    request = make_mocked_request("GET", "/", headers)
    visitor = find_visitor(request, ())
    assert isinstance(visitor.host_name, str)
