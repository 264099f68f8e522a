import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from sayline_tts.engine.errors import HubError, UnknownVoice, VoiceError
from sayline_tts.engine.execution.priority import step_aside
from sayline_tts.engine.models.model import Model
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.voices.store import Card, VoiceNameError, VoiceNameTaken, VoiceStore
from sayline_tts.server.voices.voices import NICENESS, Voices
from tests.engine.sounds import speech, wav
from tests.server.cloners import CloningModel, some_voice
from tests.server.fakes import FakeModel

AUDIO = wav(speech(4))


@pytest.fixture
def model() -> CloningModel:
    return CloningModel()


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path / "voices")


@pytest.fixture
def voices(model: CloningModel, store: VoiceStore) -> Iterator[Voices]:
    voices = Voices(cast(Model, model), store)
    yield voices
    model.may_clone.set()
    voices.close()


async def test_two_who_want_a_voice_share_one_loading(voices: Voices, model: CloningModel) -> None:
    model.may_load.clear()
    one, two, gone = (asyncio.create_task(voices.get("bob")) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    model.may_load.set()
    assert await one is await two
    assert await voices.get("bob") is await one
    assert model.loaded == ["bob"]


async def test_a_voice_that_could_not_be_had_is_tried_again(voices: Voices, model: CloningModel) -> None:
    for _ in range(2):
        with pytest.raises(HubError):
            await voices.get("eve")
    assert model.loaded == ["eve", "eve"]


async def test_only_the_models_own_voices_are_looked_up(voices: Voices, model: CloningModel) -> None:
    for name in ("/etc/passwd", "https://example.org/voice.wav", "hf://x/y", ""):
        with pytest.raises(UnknownVoice):
            await voices.get(name)
    assert model.loaded == []


async def test_without_a_store_there_are_the_models_own() -> None:
    model = FakeModel()
    voices = Voices(cast(Model, model))
    assert voices.find("v-0123456789abcdef") is None
    await voices.get("bob")
    voices.close()
    assert model.loaded == ["bob"]


async def test_a_voice_that_was_made_is_spoken_with_by_id_and_by_name(voices: Voices, model: CloningModel) -> None:
    card = await voices.add(AUDIO, "Ann S.", "key-1")
    voice = await voices.get(card.id, "key-1")
    assert await voices.get("Ann S.", "key-1") is voice
    assert voice.positions == 50  # 4 s
    assert model.loaded == [card.id]
    assert (card.name, card.owner, card.model, card.consent) == ("Ann S.", "key-1", "fake", True)
    assert card.duration_s == pytest.approx(4, abs=0.1)
    assert [each.code for each in card.advice] == ["too_short"]


async def test_another_key_has_no_such_voice(voices: Voices) -> None:
    card = await voices.add(AUDIO, "Ann S.", "key-1")
    for name in (card.id, "Ann S."):
        for owner in ("key-2", ANONYMOUS):
            with pytest.raises(UnknownVoice):
                await voices.get(name, owner)


async def test_a_voice_made_without_a_key_is_for_all(voices: Voices) -> None:
    card = await voices.add(AUDIO, "Ann S.", ANONYMOUS)
    assert await voices.get(card.id) is await voices.get("Ann S.", "key-1")


async def test_voices_are_there_after_a_restart(voices: Voices, store: VoiceStore, tmp_path: Path) -> None:
    card = await voices.add(AUDIO, "Ann S.", "key-1")
    again = Voices(cast(Model, CloningModel()), VoiceStore(tmp_path / "voices"))
    voice, before = await again.get("Ann S.", "key-1"), await voices.get(card.id, "key-1")
    again.close()
    assert voice.keys.equal(before.keys)
    assert voice.values.equal(before.values)


async def test_a_deleted_voice_is_unknown_and_who_speaks_with_it_goes_on(voices: Voices) -> None:
    card = await voices.add(AUDIO, "", "key-1")
    voice = await voices.get(card.id, "key-1")
    await voices.delete(card)
    with pytest.raises(UnknownVoice):
        await voices.get(card.id, "key-1")
    assert voice.keys.isfinite().all()
    await voices.delete(card)  # twice is harmless


async def test_a_voice_that_is_deleted_while_it_is_loaded_is_not_kept(
    voices: Voices, model: CloningModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = await voices.add(AUDIO, "", "key-1")
    may_load = threading.Event()

    def load(source: Path) -> None:
        assert may_load.wait(30)
        raise VoiceError("no such file")

    monkeypatch.setattr(model, "load_voice", load)
    loading = asyncio.create_task(voices.get(card.id, "key-1"))
    await asyncio.sleep(0)
    await voices.delete(card)
    may_load.set()
    with pytest.raises(VoiceError):
        await loading
    with pytest.raises(UnknownVoice):
        await voices.get(card.id, "key-1")


async def test_a_voice_of_another_model_says_so(voices: Voices, store: VoiceStore) -> None:
    card = Card.new("Ann S.", "key-1", 5.0, (), "english")
    store.add(card, some_voice().to_bytes())
    with pytest.raises(VoiceError, match="made for the model english, and this server speaks with fake"):
        await voices.get("Ann S.", "key-1")


async def test_names_of_the_models_own_voices_are_taken(voices: Voices, model: CloningModel) -> None:
    with pytest.raises(VoiceNameTaken, match="there is a voice 'bob' already"):
        await voices.add(AUDIO, "bob", "key-1")
    assert not model.cloning.is_set()  # it is said before all the work


async def test_one_owner_has_a_name_once(voices: Voices, store: VoiceStore) -> None:
    await voices.add(AUDIO, "Ann S.", "key-1")
    with pytest.raises(VoiceNameTaken):
        await voices.add(AUDIO, " Ann S.", "key-1")
    await voices.add(AUDIO, "Ann S.", "key-2")
    assert (store.count("key-1"), store.count("key-2")) == (1, 1)


async def test_a_bad_name_is_told_before_all_the_work(voices: Voices, model: CloningModel) -> None:
    with pytest.raises(VoiceNameError):
        await voices.add(AUDIO, "../bob", "key-1")
    assert not model.cloning.is_set()


async def test_a_clone_is_kept_by_nobody_but_the_caller(voices: Voices, store: VoiceStore, tmp_path: Path) -> None:
    made = await voices.clone(AUDIO, "me")
    assert made.voice.positions == 50
    assert store.visible(ANONYMOUS) == []
    assert not (tmp_path / "voices").exists()


async def test_voices_are_made_one_by_one_and_one_thread_is_left_for_loading(
    voices: Voices, model: CloningModel
) -> None:
    model.may_clone.clear()
    making = [asyncio.create_task(voices.clone(AUDIO, "me")) for _ in range(5)]
    await asyncio.to_thread(model.cloning.wait, 30)
    await voices.get("bob")
    model.may_clone.set()
    assert len(await asyncio.gather(*making)) == 5


async def test_a_fault_while_making_leaves_the_turn_to_the_next(voices: Voices, model: CloningModel) -> None:
    model.fault = RuntimeError("no memory")
    with pytest.raises(RuntimeError):
        await voices.clone(AUDIO, "me")
    model.fault = None
    assert (await voices.clone(AUDIO, "me")).voice.positions == 50


async def test_voices_are_made_where_frames_do_not_wait(
    voices: Voices, model: CloningModel, monkeypatch: pytest.MonkeyPatch
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


async def test_what_was_not_used_for_longest_is_forgotten_first(model: CloningModel, store: VoiceStore) -> None:
    one_voice = 2 * 2 * 2 * 50 * 4 * 4
    voices = Voices(cast(Model, model), store, kept_bytes=2 * one_voice)
    names = ["one", "two", "three"]
    ids = {name: (await voices.add(AUDIO, name, "key-1")).id for name in names}
    await voices.get("bob")
    first = await voices.get("one", "key-1")
    await voices.get("two", "key-1")
    assert await voices.get("one", "key-1") is first
    await voices.get("three", "key-1")
    await voices.get("one", "key-1")  # room is made for the next one who comes
    assert await voices.get("one", "key-1") is first
    await voices.get("two", "key-1")
    await voices.get("bob")
    voices.close()
    assert model.loaded == ["bob", *(ids[name] for name in ("one", "two", "three", "two"))]


async def test_what_is_being_loaded_is_not_forgotten(
    model: CloningModel, store: VoiceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    voices = Voices(cast(Model, model), store, kept_bytes=0)
    card = await voices.add(AUDIO, "one", "key-1")
    may_load = threading.Event()
    load = model.load_voice

    def slowly(source: Path) -> object:
        assert may_load.wait(30)
        return load(source)

    monkeypatch.setattr(model, "load_voice", slowly)
    one, two = (asyncio.create_task(voices.get(card.id, "key-1")) for _ in range(2))
    await asyncio.sleep(0)
    may_load.set()
    assert await one is await two
    voices.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_who_loads_voices_steps_aside_alone() -> None:
    seen: list[int] = []

    def thread() -> None:
        step_aside(NICENESS)
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    (other := threading.Thread(target=thread)).start()
    other.join()
    assert seen == [NICENESS]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
