"""Findings of `sayline doctor` on simulated machines."""

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants

from sayline_tts.engine.errors import InputError
from sayline_tts.server.audio.opus import OpusMissing
from sayline_tts.server.commands import checks
from sayline_tts.server.commands.checks import Check, Finding, Status, run_checks
from sayline_tts.server.settings import Settings

GB = 1 << 30


def look(check: Check, **settings: object) -> list[tuple[str, Status]]:
    return [(finding.topic, finding.status) for finding in check(Settings.load(**settings))]


def find(check: Check, **settings: object) -> Finding:
    (finding,) = check(Settings.load(**settings))
    return finding


def on_a_processor_with(monkeypatch: pytest.MonkeyPatch, **features: object) -> None:
    capabilities = {"architecture": "x86_64", **features}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)


def test_processor_with_int8_instructions_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_processor_with(monkeypatch, avx2=True, avx512_vnni=True)
    assert find(checks.processor) == Finding("processor", Status.FINE, "AVX512_VNNI, AVX2; uses int8")


@pytest.mark.parametrize("avx2", [True, False])
def test_other_processors_are_warned_about(avx2: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_processor_with(monkeypatch, avx2=avx2)
    finding = find(checks.processor)
    assert finding.status is Status.WARNING
    assert "float32" in finding.found
    assert "Zen 4" in finding.advice
    assert ("without AVX2" in finding.advice) is not avx2


def test_explicit_float32_gives_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_processor_with(monkeypatch, avx2=True)
    assert find(checks.processor, precision="float32").status is Status.FINE


@pytest.mark.parametrize("available", [True, False])
def test_cuda_availability(available: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    finding = find(checks.processor, device="cuda")
    assert finding.status is (Status.FINE if available else Status.FAILURE)
    assert finding.found == "a GPU" or "--device cpu" in finding.advice


@pytest.mark.parametrize(
    ("available", "threads", "status"), [(4.0, 1, Status.FINE), (1.0, 1, Status.WARNING), (2.0, 3, Status.WARNING)]
)
def test_cores(available: float, threads: int, status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "available_cores", lambda: available)
    finding = find(checks.cores, threads=threads)
    assert finding.status is status
    assert bool(finding.advice) is (status is not Status.FINE)


@pytest.mark.parametrize(
    ("left", "status"),
    [(8 * GB, Status.FINE), (GB, Status.WARNING), (GB // 4, Status.FAILURE), (None, Status.WARNING)],
)
def test_memory(left: int | None, status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "free_memory_bytes", lambda: left)
    finding = find(checks.memory)
    assert finding.status is status
    assert bool(finding.advice) is (status is not Status.FINE)


def test_libopus_path_is_reported() -> None:
    assert "opus" in find(checks.libopus).found


def test_errors_in_checks_are_findings_and_later_checks_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise OpusMissing("libopus cannot be loaded; install it")

    def broken() -> None:
        raise KeyError("odd")

    monkeypatch.setattr(checks, "OpusEncoder", missing)
    monkeypatch.setattr(checks, "free_memory_bytes", broken)
    monkeypatch.setattr(checks, "CHECKS", (checks.libopus, checks.memory, checks.cores))
    opus, memory, cores = run_checks(Settings())
    assert (opus.topic, opus.status) == ("libopus", Status.FAILURE)
    assert "install it" in opus.found
    assert (memory.topic, memory.status, "KeyError" in memory.found) == ("memory", Status.FAILURE, True)
    assert cores.topic == "cores"


def test_embedded_model_needs_no_hub() -> None:
    assert look(checks.weights, variant="embedded") == [("weights", Status.FINE), ("hub", Status.FINE)]


def test_cached_weights_need_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "cached_copy", lambda source: tmp_path)
    weights, hub = checks.weights(Settings.load(variant="german"))
    assert (weights.status, "german" in weights.found) == (Status.FINE, True)
    assert hub.found == "not needed"


def test_downloadable_weights_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "cached_copy", lambda source: None)
    monkeypatch.setattr(checks, "hub_unavailable_reason", lambda config: "")
    assert look(checks.weights, variant="german") == [("weights", Status.FINE), ("hub", Status.FINE)]


@pytest.mark.parametrize(("variant", "status"), [("auto", Status.WARNING), ("german", Status.FAILURE)])
def test_without_hub_only_auto_works(variant: str, status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "cached_copy", lambda source: None)
    monkeypatch.setattr(checks, "hub_unavailable_reason", lambda config: "the hub did not answer within 3 s")
    weights, hub = checks.weights(Settings.load(variant=variant))
    assert (weights.status, hub.status) == (status, status)
    assert "--variant embedded" in weights.advice
    assert (hub.found, "hf auth login" in hub.advice) == ("the hub did not answer within 3 s", True)


def test_unknown_model_gets_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="did you mean german"):
        look(checks.weights, variant="germna")


def test_custom_model_files(tmp_path: Path) -> None:
    embedded = Path(checks.__file__).parents[2] / "engine" / "checkpoint" / "embedded"
    assert find_weights(embedded / "config.yaml") is Status.FINE
    (tmp_path / "config.yaml").write_text((embedded / "config.yaml").read_text())
    assert find_weights(tmp_path / "config.yaml") is Status.WARNING
    assert look(checks.weights, config="hf://some/body/config.yaml@main") == [("weights", Status.WARNING)]


def find_weights(config: Path) -> Status:
    return look(checks.weights, config=str(config))[0][1]


def test_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is in use"):
            find(checks.port, port=port)
    assert find(checks.port, port=port).found == f"127.0.0.1:{port} is free"


def test_exposure_without_key_fails(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="SAYLINE_API_KEY"):
        find(checks.exposure, host="0.0.0.0", keys_file=str(tmp_path / "none"))
    assert "without TLS" in find(checks.exposure, host="0.0.0.0", api_key="secret").found
    assert find(checks.exposure).found == "accepts this machine only"


def test_all_written_folders_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "hub").mkdir()
    found = list(checks.folders(Settings.load(data=str(tmp_path / "data"))))
    assert [finding.topic for finding in found] == ["cache", "downloads", "data"]
    assert {finding.status for finding in found} == {Status.FINE}
    assert list(tmp_path.iterdir()) == [tmp_path / "hub"], "no files are left behind"
    assert not list((tmp_path / "hub").iterdir())


def test_unwritable_folders_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = checks.writable("data", tmp_path / "file" / "data", "SAYLINE_DATA")
    assert (finding.status, "SAYLINE_DATA" in finding.advice) == (Status.FAILURE, True)

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    assert checks.writable("data", tmp_path, "X").found == f"cannot write to {tmp_path} (Permission denied)"


def test_low_disk_space_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=GB // 2))
    assert checks.writable("data", tmp_path, "X").status is Status.WARNING
