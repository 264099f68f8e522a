from pathlib import Path

import pytest

from sayline_tts.bench.report import system_info
from sayline_tts.bench.report.system_info import SystemInfo

CPUINFO = """processor\t: 0
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC
flags\t\t: fpu avx2 avx512f avx512_bf16 sse

processor\t: 1
model name\t: another
"""


def test_cpu_is_reported_with_its_relevant_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    monkeypatch.setattr(system_info, "CPUINFO", tmp_path / "cpuinfo")
    here = SystemInfo.here()
    assert here.cpu == "AMD EPYC (family 26 model 2)"
    assert here.flags == ("avx2", "avx512f", "avx512_bf16")


def test_missing_cpuinfo_leaves_only_the_cpu_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_info, "CPUINFO", Path("/nowhere"))
    here = SystemInfo.here()
    assert here.flags == ()
    assert here.cores >= 1
    assert here.torch
    assert here.memory_gb > 0
