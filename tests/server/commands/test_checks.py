"""What `sayline doctor` finds, on machines that are made up."""

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants

from sayline_tts.engine.errors import InputError
from sayline_tts.server.audio.opus import OpusMissing
from sayline_tts.server.commands import checks
from sayline_tts.server.commands.checks import Check, Finding, Status, examine
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


def test_a_processor_that_multiplies_int8_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_processor_with(monkeypatch, avx2=True, avx512_vnni=True)
    assert find(checks.processor) == Finding("processor", Status.FINE, "AVX512_VNNI, AVX2; computes in int8")


@pytest.mark.parametrize("avx2", [True, False])
def test_another_one_is_slower_and_the_better_ones_are_named(avx2: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_processor_with(monkeypatch, avx2=avx2)
    finding = find(checks.processor)
    assert finding.status is Status.WARNING
    assert "float32" in finding.found
    assert "Zen 4" in finding.advice
    assert ("without AVX2" in finding.advice) is not avx2


def test_who_asked_for_float32_is_not_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_processor_with(monkeypatch, avx2=True)
    assert find(checks.processor, precision="float32").status is Status.FINE


@pytest.mark.parametrize("there", [True, False])
def test_cuda_is_there_or_not(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    finding = find(checks.processor, device="cuda")
    assert finding.status is (Status.FINE if there else Status.FAILURE)
    assert finding.found == "a GPU" or "--device cpu" in finding.advice


@pytest.mark.parametrize(
    ("there", "threads", "status"), [(4.0, 1, Status.FINE), (1.0, 1, Status.WARNING), (2.0, 3, Status.WARNING)]
)
def test_cores(there: float, threads: int, status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "granted_cores", lambda: there)
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


def test_libopus_is_named() -> None:
    assert "opus" in find(checks.libopus).found


def test_what_a_user_can_mend_is_a_finding_and_the_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise OpusMissing("libopus cannot be loaded; install it")

    def broken() -> None:
        raise KeyError("odd")

    monkeypatch.setattr(checks, "OpusEncoder", missing)
    monkeypatch.setattr(checks, "free_memory_bytes", broken)
    monkeypatch.setattr(checks, "CHECKS", (checks.libopus, checks.memory, checks.cores))
    opus, memory, cores = examine(Settings())
    assert (opus.topic, opus.status) == ("libopus", Status.FAILURE)
    assert "install it" in opus.found
    assert (memory.topic, memory.status, "KeyError" in memory.found) == ("memory", Status.FAILURE, True)
    assert cores.topic == "cores"


def test_the_embedded_voice_needs_nobody() -> None:
    assert look(checks.weights, variant="embedded") == [("weights", Status.FINE), ("hub", Status.FINE)]


def test_weights_in_the_cache_need_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "cached", lambda source: tmp_path)
    weights, hub = checks.weights(Settings.load(variant="german"))
    assert (weights.status, "german" in weights.found) == (Status.FINE, True)
    assert hub.found == "not needed"


def test_weights_that_the_hub_offers_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "cached", lambda source: None)
    monkeypatch.setattr(checks, "hub_obstacle", lambda config: "")
    assert look(checks.weights, variant="german") == [("weights", Status.FINE), ("hub", Status.FINE)]


@pytest.mark.parametrize(("variant", "status"), [("auto", Status.WARNING), ("german", Status.FAILURE)])
def test_without_the_hub_only_auto_speaks(variant: str, status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "cached", lambda source: None)
    monkeypatch.setattr(checks, "hub_obstacle", lambda config: "the hub did not answer within 3 s")
    weights, hub = checks.weights(Settings.load(variant=variant))
    assert (weights.status, hub.status) == (status, status)
    assert "--variant embedded" in weights.advice
    assert (hub.found, "hf auth login" in hub.advice) == ("the hub did not answer within 3 s", True)


def test_an_unknown_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="did you mean german"):
        look(checks.weights, variant="germna")


def test_a_model_of_ones_own_has_its_files_or_not(tmp_path: Path) -> None:
    embedded = Path(checks.__file__).parents[2] / "engine" / "checkpoint" / "embedded"
    assert find_weights(embedded / "config.yaml") is Status.FINE
    (tmp_path / "config.yaml").write_text((embedded / "config.yaml").read_text())
    assert find_weights(tmp_path / "config.yaml") is Status.WARNING
    assert look(checks.weights, config="hf://some/body/config.yaml@main") == [("weights", Status.WARNING)]


def find_weights(config: Path) -> Status:
    return look(checks.weights, config=str(config))[0][1]


def test_a_free_port_is_fine_and_a_taken_one_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 is in use"):
            find(checks.port, port=port)
    assert find(checks.port, port=port).found == f"127.0.0.1:{port} is free"


def test_listening_to_everybody_without_a_key_fails(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="SAYLINE_API_KEY"):
        find(checks.exposure, host="0.0.0.0", keys_file=str(tmp_path / "none"))
    assert "without TLS" in find(checks.exposure, host="0.0.0.0", api_key="secret").found
    assert find(checks.exposure).found == "listens to this machine alone"


def test_every_folder_that_the_server_writes_to_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "hub").mkdir()
    found = list(checks.folders(Settings.load(data=str(tmp_path / "data"))))
    assert [finding.topic for finding in found] == ["cache", "downloads", "data"]
    assert {finding.status for finding in found} == {Status.FINE}
    assert list(tmp_path.iterdir()) == [tmp_path / "hub"], "nothing is left behind"
    assert not list((tmp_path / "hub").iterdir())


def test_a_folder_that_cannot_be_made_or_written_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = checks.writable("data", tmp_path / "file" / "data", "SAYLINE_DATA")
    assert (finding.status, "SAYLINE_DATA" in finding.advice) == (Status.FAILURE, True)

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    assert checks.writable("data", tmp_path, "X").found == f"{tmp_path} cannot be written to (Permission denied)"


def test_little_room_on_the_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=GB // 2))
    assert checks.writable("data", tmp_path, "X").status is Status.WARNING
