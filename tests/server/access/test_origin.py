"""Which pages may use the server, and what their browsers are told."""

import pytest

from sayline_tts.server.access.origin import Origins, normalise


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
def test_an_origin_is_known_however_it_is_written(written: str, normal: str) -> None:
    assert normalise(written) == normal


@pytest.mark.parametrize(
    "written",
    [
        *("null", "app.example", "ftp://a", "file://", "javascript:1", "https://", "https://[::1"),
        *("https://a/", "https://a/b", "https://a?b", "https://a#b", "https://u@a", "https://a:b", "https://a:99999"),
    ],
)
def test_what_is_no_origin_is_refused(written: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own has other words
        normalise(written)


def test_nothing_is_no_origin() -> None:
    with pytest.raises(ValueError, match="is no origin"):
        normalise("")


def test_only_listed_origins_are_listed() -> None:
    origins = Origins(("https://app.example",))
    assert origins.lists("https://app.example")
    for other in ("http://app.example", "https://app.example.evil", "https://evil-app.example", "null", "", "x" * 9000):
        assert not origins.lists(other)
    assert Origins(("*",)).lists("null")


def test_a_page_of_our_own_is_told_by_scheme_name_and_port() -> None:
    origins = Origins(())
    assert origins.is_own("http://localhost:8000", "http", "LOCALHOST:8000")
    assert origins.is_own("https://tts.example", "https", "tts.example:443")
    for origin, scheme, host in (
        ("http://localhost:8000", "https", "localhost:8000"),
        ("http://localhost:8001", "http", "localhost:8000"),
        ("null", "http", ""),
        ("null", "null", ""),
        ("http://a", "http", "a/b"),
    ):
        assert not origins.is_own(origin, scheme, host)


def test_browsers_are_told_only_of_origins_that_are_listed() -> None:
    origins = Origins(("https://app.example",))
    assert origins.headers("https://app.example")["Access-Control-Allow-Origin"] == "https://app.example"
    for other in (None, "https://evil.example"):
        assert origins.headers(other) == {"Vary": "Origin"}
    assert Origins(()).headers("https://app.example") == {}


def test_a_preflight_allows_what_was_asked_for() -> None:
    headers = Origins(("*",)).preflight_headers("authorization, x-anything")
    assert headers["Access-Control-Allow-Headers"] == "authorization, x-anything"
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Headers" not in Origins(("*",)).preflight_headers("")
