"""How many processors a process may use: cores, and quotas of control groups."""

import os
import sys
from pathlib import Path

import pytest

from sayline_tts.engine import device
from sayline_tts.engine.device import allowed_cores, cpu_quota, usable_cores, usable_cpus


def file_system(root: Path, membership: str, **groups: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for path, text in groups.items():
        file = (
            root / "sys/fs/cgroup" / path.replace("__", "/").replace("cpu_max", "cpu.max").replace("cfs_", "cpu.cfs_")
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_strictest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    groups = {"cpu_max": "max 100000\n", "pods__cpu_max": "150000 100000\n", "pods__one__cpu_max": "400000 100000\n"}
    assert cpu_quota(file_system(tmp_path, "0::/pods/one\n", **groups)) == 1.5


def test_quota_of_a_container_that_sees_its_group_as_the_root(tmp_path: Path) -> None:
    assert cpu_quota(file_system(tmp_path, "0::/\n", cpu_max="50000 100000\n")) == 0.5


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_quota_of_version_1(tmp_path: Path, folder: str) -> None:
    membership = "5:memory:/m\n4:cpu,cpuacct:/docker/x\nnonsense\n"
    files = {f"{folder}__docker__x__cfs_quota_us": "25000\n", f"{folder}__docker__x__cfs_period_us": "100000\n"}
    assert cpu_quota(file_system(tmp_path, membership, **files)) == 0.25


def test_no_quota_is_none(tmp_path: Path) -> None:
    unlimited = {"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n", "cpu_max": "max 100000\n"}
    assert cpu_quota(file_system(tmp_path, "0::/\n1:cpu:/\n", **unlimited)) is None
    assert cpu_quota(tmp_path / "nowhere") is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_affinity_and_quota_limit_what_is_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 1, 7})
    assert allowed_cores() == [1, 2, 7]
    for quota, cpus, cores in ((None, 3.0, 3), (0.5, 0.5, 1), (1.5, 1.5, 2), (8.0, 3.0, 3)):
        monkeypatch.setattr(device, "cpu_quota", lambda quota=quota: quota)
        assert (usable_cpus(), usable_cores()) == (cpus, cores)
