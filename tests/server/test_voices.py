import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from typing import cast

import pytest

from engine.errors import HubError, UnknownVoice
from engine.model import Model
from engine.priority import step_aside
from server.voices import NICENESS, Voices
from tests.server.fakes import FakeModel


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def voices(model: FakeModel) -> Iterator[Voices]:
    voices = Voices(cast(Model, model))
    yield voices
    voices.close()


async def test_two_who_want_a_voice_share_one_loading(voices: Voices, model: FakeModel) -> None:
    model.may_load.clear()
    one, two, gone = (asyncio.create_task(voices.get("bob")) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    model.may_load.set()
    assert await one is await two
    assert await voices.get("bob") is await one
    assert model.loaded == ["bob"]


async def test_a_voice_that_could_not_be_had_is_tried_again(voices: Voices, model: FakeModel) -> None:
    for _ in range(2):
        with pytest.raises(HubError):
            await voices.get("eve")
    assert model.loaded == ["eve", "eve"]


async def test_only_the_models_own_voices_are_looked_up(voices: Voices, model: FakeModel) -> None:
    for name in ("/etc/passwd", "https://example.org/voice.wav", "hf://x/y", ""):
        with pytest.raises(UnknownVoice):
            await voices.get(name)
    assert model.loaded == []


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
