"""The limit of descriptors is raised where it may be, and what is left of it is known."""

import errno
import os
import resource
import subprocess
import sys

import pytest

from sayline_tts.server.network import descriptors

RAISE = """
import logging, resource, sys
from sayline_tts.server.network import descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
descriptors.raise_limit()
print(descriptors.limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
"""


@pytest.mark.parametrize(("soft", "hard", "raised"), [(256, 512, 512), (512, 512, 512), (128, 600, 600)])
def test_limit_is_raised_to_what_is_allowed(soft: int, hard: int, raised: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", RAISE, str(soft), str(hard)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [str(raised), str(hard)]


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ((1_024, resource.RLIM_INFINITY), (descriptors.WANTED, resource.RLIM_INFINITY)),
        ((1_024, 1_000_000), (descriptors.WANTED, 1_000_000)),
        ((100_000, 1_000_000), None),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None),
    ],
)
def test_limit_is_raised_no_further_than_wanted(
    limits: tuple[int, int], wanted: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: calls.append(pair))
    descriptors.raise_limit()
    assert calls == ([wanted] if wanted else [])


def test_refused_limit_is_a_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    descriptors.raise_limit()
    assert "cannot raise the limit of file descriptors from 256" in caplog.text


def test_connections_get_what_is_left_besides_a_reserve() -> None:
    free = descriptors.free_for_connections(1_000)
    with open(os.devnull), open(os.devnull):
        assert descriptors.free_for_connections(1_000) == free - 2
    assert 500 < free < 1_000 - descriptors.RESERVED
    assert descriptors.free_for_connections(1) == 1


def test_whether_one_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    assert descriptors.any_left()

    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", fail)
    assert not descriptors.any_left()
