"""Allowed origins and CORS headers."""

import pytest

from sayline_tts.server.access.origin import Origins, normalize_origin


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:443", "http://app.example:443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_origins_are_normalized(written: str, normal: str) -> None:
    assert normalize_origin(written) == normal


@pytest.mark.parametrize(
    "written",
    [
        *("null", "app.example", "ftp://a", "file://", "javascript:1", "https://", "https://[::1"),
        *("https://a/", "https://a/b", "https://a?b", "https://a#b", "https://u@a", "https://a:b", "https://a:99999"),
    ],
)
def test_invalid_origins_are_rejected(written: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own has other words
        normalize_origin(written)


def test_empty_origin_is_rejected() -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        normalize_origin("")


def test_only_listed_origins_are_allowed() -> None:
    origins = Origins(("https://app.example",))
    assert origins.allows("https://app.example")
    for other in ("http://app.example", "https://app.example.evil", "https://evil-app.example", "null", "", "x" * 9000):
        assert not origins.allows(other)
    assert Origins(("*",)).allows("null")


def test_same_origin_compares_scheme_host_and_port() -> None:
    origins = Origins(())
    assert origins.is_same_origin("http://localhost:8000", "http", "LOCALHOST:8000")
    assert origins.is_same_origin("https://tts.example", "https", "tts.example:443")
    for origin, scheme, host in (
        ("http://localhost:8000", "https", "localhost:8000"),
        ("http://localhost:8001", "http", "localhost:8000"),
        ("null", "http", ""),
        ("null", "null", ""),
        ("http://a", "http", "a/b"),
    ):
        assert not origins.is_same_origin(origin, scheme, host)


def test_cors_headers_are_sent_to_listed_origins_only() -> None:
    origins = Origins(("https://app.example",))
    assert origins.headers("https://app.example")["Access-Control-Allow-Origin"] == "https://app.example"
    for other in (None, "https://evil.example"):
        assert origins.headers(other) == {"Vary": "Origin"}
    assert Origins(()).headers("https://app.example") == {}


def test_preflight_allows_the_requested_headers() -> None:
    headers = Origins(("*",)).preflight_headers("authorization, x-anything")
    assert headers["Access-Control-Allow-Headers"] == "authorization, x-anything"
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Headers" not in Origins(("*",)).preflight_headers("")
