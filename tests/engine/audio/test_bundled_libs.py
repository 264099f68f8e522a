from pathlib import Path

import pytest

from sayline_tts.engine.audio.bundled_libs import bundled_library, limit_allocations


@pytest.mark.parametrize(
    ("name", "place"),
    [("opus", "av.libs/libopus-114e2b1a.so.0.11.1"), ("avutil", "av/.dylibs/libavutil.60.26.102.dylib")],
)
def test_library_is_found_in_linux_and_macos_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, place: str
) -> None:
    monkeypatch.setattr("av.__file__", str(tmp_path / "av" / "__init__.py"))
    assert bundled_library(name) is None
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()
    assert bundled_library(name) == tmp_path / place
    assert bundled_library("other") is None


def test_allocation_limit_is_skipped_without_a_bundled_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("av.__file__", str(tmp_path / "av" / "__init__.py"))
    limit_allocations.cache_clear()
    limit_allocations()
    limit_allocations.cache_clear()
