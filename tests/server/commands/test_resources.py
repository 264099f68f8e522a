"""Available cores and memory, with and without a container."""

from pathlib import Path

import pytest

from sayline_tts.server.commands import resources
from sayline_tts.server.commands.resources import available_cores, free_memory_bytes


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four cores, 6 of 8 GB free, no container."""
    monkeypatch.setattr(resources, "usable_cores", lambda: 4)
    monkeypatch.setattr(resources, "CGROUP", tmp_path)
    monkeypatch.setattr(resources, "MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable:    6291456 kB\n")
    return tmp_path


def test_without_container_all_resources_are_available() -> None:
    assert (available_cores(), free_memory_bytes()) == (4, 6 << 30)


def test_container_limits_apply(machine: Path) -> None:
    (machine / "cpu.max").write_text("150000 100000\n")
    (machine / "memory.max").write_text(f"{2 << 30}\n")
    (machine / "memory.current").write_text(f"{1 << 30}\n")
    assert (available_cores(), free_memory_bytes()) == (1.5, 1 << 30)


def test_container_without_limits_changes_nothing(machine: Path) -> None:
    (machine / "cpu.max").write_text("max 100000\n")
    (machine / "memory.max").write_text("max\n")
    (machine / "memory.current").write_text("5\n")
    assert (available_cores(), free_memory_bytes()) == (4, 6 << 30)


def test_without_meminfo_physical_memory_is_reported(machine: Path) -> None:
    (machine / "meminfo").unlink()
    assert (free_memory_bytes() or 0) > 1 << 28
