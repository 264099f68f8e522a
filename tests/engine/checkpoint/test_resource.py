"""Files from the hub, from the web and from this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from sayline_tts.engine.checkpoint import resource
from sayline_tts.engine.checkpoint.resource import beside, cached, fetch
from sayline_tts.engine.errors import CheckpointError, HubError, InputError
from tests.engine.hub import COMMIT, Asker, Hub, running_hub

PINNED = "a" * 40
VOICE = "/kyutai/voices/deep/alba.wav"


@pytest.fixture(scope="module")
def one_hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def hub(one_hub: Hub) -> Hub:
    one_hub.reset()
    one_hub.files[VOICE] = b"sound of alba"
    return one_hub


@pytest.fixture(scope="module")
def asker(one_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    with Asker(one_hub.url, tmp_path_factory.mktemp("home")) as asker:
        yield asker


@pytest.fixture
def web_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return tmp_path / "sayline"


def test_a_pinned_file_is_downloaded_once_and_never_asked_about_again(hub: Hub, asker: Asker) -> None:
    wanted = f"hf://kyutai/voices/deep/alba.wav@{PINNED}"
    path = Path(asker.ask("fetch", wanted)["path"])
    assert path.read_bytes() == b"sound of alba"
    asked = list(hub.asked)
    assert asker.ask("fetch", wanted)["path"] == str(path)
    assert hub.asked == asked


def test_a_moving_revision_is_asked_about_and_the_copy_serves_while_the_hub_is_ill(hub: Hub, asker: Asker) -> None:
    path = Path(asker.ask("fetch", "hf://kyutai/voices/deep/alba.wav")["path"])
    assert path.parent.parent.name == COMMIT
    hub.asked.clear()
    hub.mood = "ill"
    assert asker.ask("fetch", "hf://kyutai/voices/deep/alba.wav")["path"] == str(path)
    assert hub.asked == [f"HEAD {VOICE}"]


def test_a_file_the_hub_does_not_have_is_named(hub: Hub, asker: Asker) -> None:
    answer = asker.ask("fetch", f"hf://kyutai/voices/none.wav@{PINNED}")
    assert answer["error"] == "HubError"
    assert "hf://kyutai/voices/none.wav" in answer["text"]
    assert "no such file (404)" in answer["text"]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((401, "GatedRepo"), "is gated (the hub answered 401)"),
        ((403, "GatedRepo"), "is gated (the hub answered 403)"),
        ((401, "RepoNotFound"), "is closed to you, or does not exist (the hub answered 401)"),
        ((403, ""), "is closed to you, or does not exist (the hub answered 403)"),
    ],
)
def test_a_closed_repository_names_the_way_in(hub: Hub, asker: Asker, refusal: tuple[int, str], said: str) -> None:
    hub.gated, hub.refusal = {"kyutai/locked"}, refusal
    answer = asker.ask("fetch", f"hf://kyutai/locked/model.safetensors@{PINNED}")
    assert answer["error"] == "HubGated"
    assert f"kyutai/locked {said}: accept its terms at {hub.url}/kyutai/locked, run `hf auth login`" in answer["text"]


def test_an_ill_hub_is_said_to_be_ill_after_one_question(hub: Hub, asker: Asker) -> None:
    hub.mood = "ill"
    answer = asker.ask("fetch", f"hf://kyutai/voices/ill.wav@{PINNED}")
    assert answer["error"] == "HubError"
    assert "answered 500; try again later" in answer["text"]
    assert len(hub.asked) == 1


def test_a_download_that_breaks_off_leaves_nothing_in_the_cache(hub: Hub, asker: Asker) -> None:
    hub.files["/kyutai/voices/half.wav"] = b"first half second half"
    wanted = f"hf://kyutai/voices/half.wav@{PINNED}"
    hub.mood = "broken"
    answer = asker.ask("fetch", wanted)
    assert answer["error"] == "HubError"
    assert "check the connection and try again" in answer["text"]
    hub.mood = "well"
    assert Path(asker.ask("fetch", wanted)["path"]).read_bytes() == b"first half second half"


def test_a_web_file_is_downloaded_once_and_keeps_its_ending(hub: Hub, web_cache: Path) -> None:
    hub.files["/voice.safetensors"] = b"state"
    path = fetch(f"{hub.url}/voice.safetensors")
    assert path.read_bytes() == b"state"
    assert (path.parent, path.suffix) == (web_cache, ".safetensors")
    assert fetch(f"{hub.url}/voice.safetensors") == path == cached(f"{hub.url}/voice.safetensors")
    assert hub.asked == ["GET /voice.safetensors"]


@pytest.mark.parametrize(("mood", "fault"), [("ill", "500"), ("broken", "broken off after 2 of 5 bytes")])
def test_a_web_file_that_fails_is_explained_and_leaves_nothing(
    hub: Hub, web_cache: Path, mood: str, fault: str
) -> None:
    hub.files["/voice.wav"] = b"sound"
    hub.mood = mood
    with pytest.raises(HubError, match=f"{fault}.*check the address and try again"):
        fetch(f"{hub.url}/voice.wav")
    assert list(web_cache.iterdir()) == []


def test_a_web_file_without_end_is_refused(hub: Hub, web_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files["/voice.wav"] = b"sound"
    monkeypatch.setattr(resource, "LARGEST_DOWNLOAD_BYTES", 4)
    with pytest.raises(HubError, match="larger than"):
        fetch(f"{hub.url}/voice.wav")
    assert list(web_cache.iterdir()) == []


def test_a_silent_web_server_is_given_up(hub: Hub, web_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.mood = "silent"
    monkeypatch.setattr(resource, "ANSWER_S", 0.1)
    with pytest.raises(HubError, match="cannot be downloaded"):
        fetch(f"{hub.url}/voice.wav")


@pytest.mark.parametrize("url", ["http://127.0.0.1:many/a.wav", "http://[1/a.wav", "http://", "https://a b/c"])
def test_a_malformed_web_address_is_refused(web_cache: Path, url: str) -> None:
    with pytest.raises(HubError, match="cannot be downloaded"):
        fetch(url)


def test_a_cache_that_cannot_be_written_is_explained(
    hub: Hub, web_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(HubError, match=r"cannot be downloaded .*Not a directory"):
        fetch(f"{hub.url}/voice.wav")


def test_offline_the_web_is_not_asked(hub: Hub, web_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        fetch(f"{hub.url}/voice.wav")
    assert hub.asked == []


def test_a_path_counts_from_the_folder_given(tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(b"sound")
    assert fetch("voice.wav", tmp_path) == tmp_path / "voice.wav"
    assert fetch(str(tmp_path / "voice.wav"), Path("/elsewhere")) == tmp_path / "voice.wav"
    assert cached(str(tmp_path / "voice.wav")) == tmp_path / "voice.wav"


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.wav: no such file; check the path"):
        fetch("none.wav", tmp_path)


def test_another_scheme_is_refused_rather_than_taken_for_a_path() -> None:
    with pytest.raises(InputError, match="only hf://, https://, http:// and paths"):
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
def test_a_name_in_a_config_counts_from_the_configs_place(place: str, name: str, meant: str) -> None:
    assert beside(place, name) == meant
