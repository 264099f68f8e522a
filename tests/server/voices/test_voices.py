import asyncio
import errno
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from sayline_tts.engine.device import set_niceness
from sayline_tts.engine.errors import HubError, UnknownVoice, VoiceError
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.voices.loudness import VoiceLoudness
from sayline_tts.server.voices.store import StoreError, VoiceMetadata, VoiceNameError, VoiceNameTaken, VoiceStore
from sayline_tts.server.voices.voices import NICENESS, Voices
from tests.engine.sounds import speech, wav
from tests.server.fakes import FakeModel
from tests.server.voice_server import FakeCloningModel, some_voice

AUDIO = wav(speech(4))


@pytest.fixture
def model() -> FakeCloningModel:
    return FakeCloningModel()


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path / "voices")


@pytest.fixture
def voices(model: FakeCloningModel, store: VoiceStore) -> Iterator[Voices]:
    voices = Voices(cast(Model, model), store)
    yield voices
    model.may_clone.set()
    voices.close()


async def test_concurrent_requests_share_one_load(voices: Voices, model: FakeCloningModel) -> None:
    model.may_load.clear()
    one, two, gone = (asyncio.create_task(voices.get("bob")) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    model.may_load.set()
    assert await one is await two
    assert await voices.get("bob") is await one
    assert model.loaded == ["bob"]


async def test_failed_load_is_retried_on_next_request(voices: Voices, model: FakeCloningModel) -> None:
    for _ in range(2):
        with pytest.raises(HubError):
            await voices.get("eve")
    assert model.loaded == ["eve", "eve"]


async def test_names_are_never_used_as_paths_or_urls(voices: Voices, model: FakeCloningModel) -> None:
    for name in ("/etc/passwd", "https://example.org/voice.wav", "hf://x/y", ""):
        with pytest.raises(UnknownVoice):
            await voices.get(name)
    assert model.loaded == []


async def test_without_store_only_builtin_voices_exist() -> None:
    model = FakeModel()
    voices = Voices(cast(Model, model))
    assert voices.find("v-0123456789abcdef") is None
    await voices.get("bob")
    voices.close()
    assert model.loaded == ["bob"]


async def test_cloned_voice_is_available_by_id_and_name(voices: Voices, model: FakeCloningModel) -> None:
    metadata = await voices.add(AUDIO, "Ann S.", "key-1")
    voice = await voices.get(metadata.id, "key-1")
    assert await voices.get("Ann S.", "key-1") is voice
    assert voice.positions == 50  # 4 s
    assert model.loaded == [metadata.id]
    assert (metadata.name, metadata.owner, metadata.model, metadata.consent) == ("Ann S.", "key-1", "fake", True)
    assert metadata.duration_s == pytest.approx(4, abs=0.1)
    assert [each.code for each in metadata.advice] == ["too_short"]


async def test_voice_of_another_key_is_unknown(voices: Voices) -> None:
    metadata = await voices.add(AUDIO, "Ann S.", "key-1")
    for name in (metadata.id, "Ann S."):
        for owner in ("key-2", ANONYMOUS):
            with pytest.raises(UnknownVoice):
                await voices.get(name, owner)


async def test_voice_created_without_key_is_shared(voices: Voices) -> None:
    metadata = await voices.add(AUDIO, "Ann S.", ANONYMOUS)
    assert await voices.get(metadata.id) is await voices.get("Ann S.", "key-1")


async def test_cloned_voices_survive_a_restart(voices: Voices, store: VoiceStore, tmp_path: Path) -> None:
    metadata = await voices.add(AUDIO, "Ann S.", "key-1")
    again = Voices(cast(Model, FakeCloningModel()), VoiceStore(tmp_path / "voices"))
    voice, before = await again.get("Ann S.", "key-1"), await voices.get(metadata.id, "key-1")
    again.close()
    assert voice.keys.equal(before.keys)
    assert voice.values.equal(before.values)


async def test_deleted_voice_is_unknown_but_stays_usable_where_loaded(voices: Voices) -> None:
    metadata = await voices.add(AUDIO, "", "key-1")
    voice = await voices.get(metadata.id, "key-1")
    await voices.delete(metadata)
    with pytest.raises(UnknownVoice):
        await voices.get(metadata.id, "key-1")
    assert voice.keys.isfinite().all()
    await voices.delete(metadata)  # idempotent


async def test_voice_deleted_during_load_is_not_cached(
    voices: Voices, model: FakeCloningModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = await voices.add(AUDIO, "", "key-1")
    may_load = threading.Event()

    def load(source: Path) -> None:
        assert may_load.wait(30)
        raise VoiceError("no such file")

    monkeypatch.setattr(model, "load_voice", load)
    loading = asyncio.create_task(voices.get(metadata.id, "key-1"))
    await asyncio.sleep(0)
    await voices.delete(metadata)
    may_load.set()
    with pytest.raises(VoiceError):
        await loading
    with pytest.raises(UnknownVoice):
        await voices.get(metadata.id, "key-1")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def damage(file: Path) -> None:
    file.write_bytes(b"\x10\0\0\0\0\0\0\0{" + bytes(100))


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("spoil", [truncate, damage, replace_by_folder, Path.unlink])
async def test_error_of_a_stored_voice_names_no_path(
    voices: Voices, store: VoiceStore, tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    metadata = await voices.add(AUDIO, "Ann S.", "key-1")
    spoil(store.path(metadata))
    with pytest.raises(VoiceError, match=r"voice 'Ann S\.' is damaged or missing.*clone it again") as told:
        await voices.get("Ann S.", "key-1")
    assert told.value.code == "bad_voice"
    assert not re.search(r"/\w|safetensors", str(told.value))
    assert f"voice {metadata.id} cannot be loaded: " in caplog.text  # with the details


async def test_error_of_a_download_names_no_path(voices: Voices, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(source: str) -> None:
        raise HubError(f"{source}: cannot be downloaded ([Errno 28] No space left on device: '/root/.cache/x')")

    monkeypatch.setattr("tests.server.fakes.FakeModel.load_voice", lambda self, source: load(source))
    with pytest.raises(HubError, match="voice 'bob' cannot be downloaded") as told:
        await voices.get("bob")
    assert "/" not in str(told.value)


async def test_full_folder_of_temporary_files_is_not_the_clients_error(
    voices: Voices, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full:
        def __init__(self, **_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", Full)
    with pytest.raises(StoreError, match="no room for temporary files") as told:
        await voices.clone(some_voice().to_bytes(), "the file")
    assert told.value.code == "voices_not_kept"  # 507
    assert "/tmp" not in str(told.value)
    assert "cannot write a temporary file" in caplog.text


async def test_voice_of_another_model_is_rejected(voices: Voices, store: VoiceStore) -> None:
    metadata = VoiceMetadata.new("Ann S.", "key-1", 5.0, (), "english")
    store.add(metadata, some_voice().to_bytes())
    with pytest.raises(VoiceError, match="cloned for model english, and this server runs model fake"):
        await voices.get("Ann S.", "key-1")


async def test_voice_knows_the_weights_it_was_cloned_with(
    voices: Voices, store: VoiceStore, model: FakeCloningModel
) -> None:
    metadata = await voices.add(AUDIO, "Ann S.", "key-1")
    assert metadata.weights == model.checkpoint.weights_sha256
    assert VoiceStore(store.path(metadata).parent).find("Ann S.", "key-1") == metadata
    await voices.get("Ann S.", "key-1")


async def test_voice_of_other_weights_is_rejected(voices: Voices, store: VoiceStore) -> None:
    store.add(VoiceMetadata.new("Ann S.", "key-1", 5.0, (), "fake", "cd" * 32), some_voice().to_bytes())
    store.add(VoiceMetadata.new("Old", "key-1", 5.0, (), "fake"), some_voice().to_bytes())  # stored before it was noted
    with pytest.raises(VoiceError, match="other weights of model fake"):
        await voices.get("Ann S.", "key-1")
    await voices.get("Old", "key-1")


async def test_builtin_names_are_reserved(voices: Voices, model: FakeCloningModel) -> None:
    with pytest.raises(VoiceNameTaken, match="voice 'bob' already exists"):
        await voices.add(AUDIO, "bob", "key-1")
    assert not model.cloning.is_set()  # rejected before the slow cloning


async def test_name_is_unique_per_owner(voices: Voices, store: VoiceStore) -> None:
    await voices.add(AUDIO, "Ann S.", "key-1")
    with pytest.raises(VoiceNameTaken):
        await voices.add(AUDIO, " Ann S.", "key-1")
    await voices.add(AUDIO, "Ann S.", "key-2")
    assert (store.count("key-1"), store.count("key-2")) == (1, 1)


async def test_invalid_name_is_rejected_before_cloning(voices: Voices, model: FakeCloningModel) -> None:
    with pytest.raises(VoiceNameError):
        await voices.add(AUDIO, "../bob", "key-1")
    assert not model.cloning.is_set()


async def test_clone_is_not_stored(voices: Voices, store: VoiceStore, tmp_path: Path) -> None:
    made = await voices.clone(AUDIO, "me")
    assert made.voice.positions == 50
    assert store.visible(ANONYMOUS) == []
    assert not (tmp_path / "voices").exists()


async def test_one_clone_runs_at_a_time_and_loading_continues(voices: Voices, model: FakeCloningModel) -> None:
    model.may_clone.clear()
    making = [asyncio.create_task(voices.clone(AUDIO, "me")) for _ in range(5)]
    await asyncio.to_thread(model.cloning.wait, 30)
    await voices.get("bob")
    model.may_clone.set()
    assert len(await asyncio.gather(*making)) == 5


async def test_failed_clone_does_not_block_the_next(voices: Voices, model: FakeCloningModel) -> None:
    model.next_error = RuntimeError("no memory")
    with pytest.raises(RuntimeError):
        await voices.clone(AUDIO, "me")
    model.next_error = None
    assert (await voices.clone(AUDIO, "me")).voice.positions == 50


async def test_cloning_runs_on_a_low_priority_thread(
    voices: Voices, model: FakeCloningModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    def encode(audio: object) -> object:
        niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) if sys.platform == "linux" else NICENESS
        seen.append((threading.current_thread().name, niceness))
        return some_voice()

    monkeypatch.setattr(model, "encode_voice", encode)
    await voices.clone(AUDIO, "me")
    ((name, niceness),) = seen
    assert name.startswith("voices")
    assert niceness == NICENESS


async def test_least_recently_used_voice_is_evicted_first(model: FakeCloningModel, store: VoiceStore) -> None:
    one_voice = 2 * 2 * 2 * 50 * 4 * 4
    voices = Voices(cast(Model, model), store, cache_bytes=2 * one_voice)
    names = ["one", "two", "three"]
    ids = {name: (await voices.add(AUDIO, name, "key-1")).id for name in names}
    await voices.get("bob")
    first = await voices.get("one", "key-1")
    await voices.get("two", "key-1")
    assert await voices.get("one", "key-1") is first
    await voices.get("three", "key-1")
    await voices.get("one", "key-1")  # eviction happens at the next request
    assert await voices.get("one", "key-1") is first
    await voices.get("two", "key-1")
    await voices.get("bob")
    voices.close()
    assert model.loaded == ["bob", *(ids[name] for name in ("one", "two", "three", "two"))]


async def test_loading_voices_are_not_evicted(
    model: FakeCloningModel, store: VoiceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    voices = Voices(cast(Model, model), store, cache_bytes=0)
    metadata = await voices.add(AUDIO, "one", "key-1")
    may_load = threading.Event()
    load = model.load_voice

    def slowly(source: Path) -> object:
        assert may_load.wait(30)
        return load(source)

    monkeypatch.setattr(model, "load_voice", slowly)
    one, two = (asyncio.create_task(voices.get(metadata.id, "key-1")) for _ in range(2))
    await asyncio.sleep(0)
    may_load.set()
    assert await one is await two
    voices.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has per-thread priorities")
def test_low_priority_applies_to_one_thread_only() -> None:
    seen: list[int] = []

    def thread() -> None:
        set_niceness(NICENESS)
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    (other := threading.Thread(target=thread)).start()
    other.join()
    assert seen == [NICENESS]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


async def test_loudness_of_a_voice_is_measured_once_before_it_speaks(
    model: FakeCloningModel, store: VoiceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Voice] = []
    monkeypatch.setattr(VoiceLoudness, "measure", lambda self, voice: measured.append(voice))
    voices = Voices(cast(Model, model), store, loudness_lufs=-16)
    try:
        bob = await voices.get("bob")
        assert await voices.get("bob") is bob
        clone = await voices.clone(AUDIO, "me.wav")
        assert measured == [bob, clone.voice]
    finally:
        voices.close()
