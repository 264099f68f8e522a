"""What this process is given, also inside of a container."""

from pathlib import Path

import pytest

from sayline_tts.server.commands import resources
from sayline_tts.server.commands.resources import free_memory_bytes, granted_cores


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four cores and 8 GB of which 6 are free, and no container."""
    monkeypatch.setattr(resources, "cores", lambda: 4)
    monkeypatch.setattr(resources, "CGROUP", tmp_path)
    monkeypatch.setattr(resources, "MEMINFO", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable:    6291456 kB\n")
    return tmp_path


def test_without_a_container_it_is_all_that_there_is() -> None:
    assert (granted_cores(), free_memory_bytes()) == (4, 6 << 30)


def test_a_container_may_be_given_less(machine: Path) -> None:
    (machine / "cpu.max").write_text("150000 100000\n")
    (machine / "memory.max").write_text(f"{2 << 30}\n")
    (machine / "memory.current").write_text(f"{1 << 30}\n")
    assert (granted_cores(), free_memory_bytes()) == (1.5, 1 << 30)


def test_a_container_without_limits_changes_nothing(machine: Path) -> None:
    (machine / "cpu.max").write_text("max 100000\n")
    (machine / "memory.max").write_text("max\n")
    (machine / "memory.current").write_text("5\n")
    assert (granted_cores(), free_memory_bytes()) == (4, 6 << 30)


def test_elsewhere_than_on_linux_it_is_the_memory_of_the_machine(machine: Path) -> None:
    (machine / "meminfo").unlink()
    assert (free_memory_bytes() or 0) > 1 << 28
