"""Resources from the hub, from the web and from local paths."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from sayline_tts.engine.checkpoint import resource
from sayline_tts.engine.checkpoint.resource import cached_copy, fetch, resolve_relative
from sayline_tts.engine.errors import CheckpointError, HubError, InputError
from tests.engine.checkpoint.fake_hub import COMMIT, FakeHub, HubProcess, running_hub

PINNED = "a" * 40
VOICE = "/kyutai/voices/deep/alba.wav"


@pytest.fixture(scope="module")
def module_hub() -> Iterator[FakeHub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def hub(module_hub: FakeHub) -> FakeHub:
    module_hub.reset()
    module_hub.files[VOICE] = b"sound of alba"
    return module_hub


@pytest.fixture(scope="module")
def online(module_hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with HubProcess(module_hub.url, tmp_path_factory.mktemp("home")) as online:
        yield online


@pytest.fixture
def web_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "sayline"


def test_pinned_file_is_downloaded_once_and_never_revalidated(hub: FakeHub, online: HubProcess) -> None:
    wanted = f"hf://kyutai/voices/deep/alba.wav@{PINNED}"
    path = Path(online.call("fetch", wanted)["path"])
    assert path.read_bytes() == b"sound of alba"
    requests = list(hub.requests)
    assert online.call("fetch", wanted)["path"] == str(path)
    assert hub.requests == requests


def test_branch_is_revalidated_and_the_cached_copy_is_used_if_the_hub_fails(hub: FakeHub, online: HubProcess) -> None:
    path = Path(online.call("fetch", "hf://kyutai/voices/deep/alba.wav")["path"])
    assert path.parent.parent.name == COMMIT
    hub.requests.clear()
    hub.mode = "failing"
    assert online.call("fetch", "hf://kyutai/voices/deep/alba.wav")["path"] == str(path)
    assert hub.requests == [f"HEAD {VOICE}"]


def test_file_missing_on_the_hub_is_named(hub: FakeHub, online: HubProcess) -> None:
    result = online.call("fetch", f"hf://kyutai/voices/none.wav@{PINNED}")
    assert result["error"] == "HubError"
    assert "hf://kyutai/voices/none.wav" in result["text"]
    assert "no such file (404)" in result["text"]


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ((401, "GatedRepo"), "is gated (the hub answered 401)"),
        ((403, "GatedRepo"), "is gated (the hub answered 403)"),
        ((401, "RepoNotFound"), "is private or does not exist (the hub answered 401)"),
        ((403, ""), "is private or does not exist (the hub answered 403)"),
    ],
)
def test_gated_or_private_repository_error_explains_access(
    hub: FakeHub, online: HubProcess, refusal: tuple[int, str], expected: str
) -> None:
    hub.gated, hub.refusal = {"kyutai/locked"}, refusal
    result = online.call("fetch", f"hf://kyutai/locked/model.safetensors@{PINNED}")
    assert result["error"] == "HubGated"
    assert (
        f"kyutai/locked {expected}: accept its terms at {hub.url}/kyutai/locked, run `hf auth login`" in result["text"]
    )


def test_failing_hub_is_reported_after_one_request(hub: FakeHub, online: HubProcess) -> None:
    hub.mode = "failing"
    result = online.call("fetch", f"hf://kyutai/voices/any.wav@{PINNED}")
    assert result["error"] == "HubError"
    assert "answered 500; try again later" in result["text"]
    assert len(hub.requests) == 1


def test_interrupted_hub_download_leaves_nothing_in_the_cache(hub: FakeHub, online: HubProcess) -> None:
    hub.files["/kyutai/voices/half.wav"] = b"first half second half"
    wanted = f"hf://kyutai/voices/half.wav@{PINNED}"
    hub.mode = "truncated"
    result = online.call("fetch", wanted)
    assert result["error"] == "HubError"
    assert "check the connection and try again" in result["text"]
    hub.mode = "ok"
    assert Path(online.call("fetch", wanted)["path"]).read_bytes() == b"first half second half"


def test_web_file_is_downloaded_once_and_keeps_its_suffix(hub: FakeHub, web_cache: Path) -> None:
    hub.files["/voice.safetensors"] = b"state"
    path = fetch(f"{hub.url}/voice.safetensors")
    assert path.read_bytes() == b"state"
    assert (path.parent, path.suffix) == (web_cache, ".safetensors")
    assert fetch(f"{hub.url}/voice.safetensors") == path == cached_copy(f"{hub.url}/voice.safetensors")
    assert hub.requests == ["GET /voice.safetensors"]


@pytest.mark.parametrize(("mode", "fault"), [("failing", "500"), ("truncated", "interrupted after 2 of 5 bytes")])
def test_failed_web_download_is_explained_and_leaves_nothing(
    hub: FakeHub, web_cache: Path, mode: str, fault: str
) -> None:
    hub.files["/voice.wav"] = b"sound"
    hub.mode = mode
    with pytest.raises(HubError, match=f"{fault}.*check the address and try again"):
        fetch(f"{hub.url}/voice.wav")
    assert list(web_cache.iterdir()) == []


def test_oversized_web_file_is_rejected(hub: FakeHub, web_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files["/voice.wav"] = b"sound"
    monkeypatch.setattr(resource, "MAX_DOWNLOAD_BYTES", 4)
    with pytest.raises(HubError, match="larger than"):
        fetch(f"{hub.url}/voice.wav")
    assert list(web_cache.iterdir()) == []


def test_unresponsive_web_server_times_out(hub: FakeHub, web_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.mode = "unresponsive"
    monkeypatch.setattr(resource, "TIMEOUT_S", 0.1)
    with pytest.raises(HubError, match="cannot be downloaded"):
        fetch(f"{hub.url}/voice.wav")


@pytest.mark.parametrize("url", ["http://127.0.0.1:many/a.wav", "http://[1/a.wav", "http://", "https://a b/c"])
def test_malformed_url_is_rejected(web_cache: Path, url: str) -> None:
    with pytest.raises(HubError, match="cannot be downloaded"):
        fetch(url)


def test_unwritable_cache_is_explained(
    hub: FakeHub, web_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(HubError, match=r"cannot be downloaded .*Not a directory"):
        fetch(f"{hub.url}/voice.wav")


def test_no_web_request_is_made_offline(hub: FakeHub, web_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        fetch(f"{hub.url}/voice.wav")
    assert hub.requests == []


def test_relative_path_resolves_against_the_given_folder(tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(b"sound")
    assert fetch("voice.wav", tmp_path) == tmp_path / "voice.wav"
    assert fetch(str(tmp_path / "voice.wav"), Path("/elsewhere")) == tmp_path / "voice.wav"
    assert cached_copy(str(tmp_path / "voice.wav")) == tmp_path / "voice.wav"


def test_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.wav: no such file; check the path"):
        fetch("none.wav", tmp_path)


def test_unknown_scheme_is_rejected() -> None:
    with pytest.raises(InputError, match="unknown scheme; use hf://, https://, http:// or a local path"):
        fetch("s3://bucket/voice.wav")


@pytest.mark.parametrize(
    ("place", "name", "meant"),
    [
        ("models/config.yaml", "model.safetensors", "models/model.safetensors"),
        ("models/config.yaml", "/weights/model.safetensors", "/weights/model.safetensors"),
        ("models/config.yaml", "hf://a/b/c@d", "hf://a/b/c@d"),
        ("hf://a/b/deep/config.yaml@v1", "model.safetensors", "hf://a/b/deep/model.safetensors@v1"),
        ("hf://a/b/config.yaml", "model.safetensors", "hf://a/b/model.safetensors"),
        ("https://x.org/deep/config.yaml", "model.safetensors", "https://x.org/deep/model.safetensors"),
    ],
)
def test_name_in_a_config_resolves_against_its_source(place: str, name: str, meant: str) -> None:
    assert resolve_relative(place, name) == meant
