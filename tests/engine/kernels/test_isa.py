"""Choice of the instruction set, by the processor and by `SAYLINE_ISA`."""

import os
import subprocess
import sys

import pytest

from sayline_tts.engine.errors import InputError
from sayline_tts.engine.kernels.isa import (
    AVX2,
    AVX512_VNNI,
    AVX_VNNI,
    GENERIC,
    ISAS,
    Isa,
    choose_isa,
    requested_isa,
)
from sayline_tts.engine.kernels.jit import ACTIVE_ISA
from sayline_tts.engine.kernels.numba_internals import host_features

CASCADE_LAKE = "+avx2,+avx512vl,+avx512vnni,-avxvnni"


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("+avx2,+avx512vnni,+avxvnni", AVX512_VNNI),
        ("+avx2,-avx512vnni,+avxvnni", AVX_VNNI),
        ("+avx2,-avxvnni", AVX2),
        ("+neon", GENERIC),
        ("", GENERIC),
    ],
)
def test_best_instruction_set_of_a_processor(features: str, expected: Isa) -> None:
    assert choose_isa(features) is expected


@pytest.mark.parametrize("requested", ISAS, ids=lambda each: each.name)
def test_lesser_instruction_set_can_be_requested(requested: Isa) -> None:
    assert choose_isa(CASCADE_LAKE, requested) is requested


def test_missing_instruction_set_is_refused_with_those_that_can_be_used() -> None:
    with pytest.raises(
        InputError, match=r"SAYLINE_ISA=avx_vnni: this processor does not have it; use one of avx2, gen"
    ):
        choose_isa("+avx2", AVX_VNNI)


def test_environment_variable_names_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for isa in ISAS:
        monkeypatch.setenv("SAYLINE_ISA", isa.name)
        assert requested_isa() is isa
    monkeypatch.setenv("SAYLINE_ISA", "")
    assert requested_isa() is None
    monkeypatch.setenv("SAYLINE_ISA", "sse9")
    with pytest.raises(
        InputError, match="'sse9' is not an instruction set; use one of avx512_vnni, avx_vnni, avx2, gen"
    ):
        requested_isa()


def test_active_instruction_set_follows_the_environment() -> None:
    assert choose_isa(host_features(), requested_isa()) is ACTIVE_ISA


LESSER = [isa for isa in ISAS[ISAS.index(ACTIVE_ISA) + 1 :] if isa.is_supported(host_features())]


@pytest.mark.slow  # compiles all int8 kernels anew
@pytest.mark.parametrize("isa", LESSER, ids=lambda each: each.name)
def test_int8_kernels_are_exact_with_every_lesser_instruction_set(isa: Isa) -> None:
    """In a process of its own: kernels are compiled for one instruction set at import."""
    files = [os.path.join(os.path.dirname(__file__), f"test_{name}.py") for name in ("int8_gemm", "quantization")]
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-x", "--noconftest", "-p", "no:cacheprovider"]
    environment = {**os.environ, "SAYLINE_ISA": isa.name}
    result = subprocess.run([*pytest_, *files], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "[100%]" in result.stdout
