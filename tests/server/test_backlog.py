import asyncio
from typing import cast

import pytest

from engine.model import Model
from engine.segmenter import Segmenter
from engine.utterance import Sampling, Utterance
from engine.voice import Voice
from server.backlog import PIECE_CHARS, SEGMENTS_AHEAD, Backlog
from server.settings import Settings
from tests.server.fakes import FakeModel

ENDLESS_MS = 1e9


class Desk:
    """A backlog, its utterance, and an engine that speaks when told to."""

    def __init__(self, pause_ms: float = ENDLESS_MS, max_delay_ms: float = ENDLESS_MS, begin: bool = True) -> None:
        self.model = cast(Model, FakeModel())
        self.changes, self.nothing, self.played_ms = 0, 0, 0.0
        self.changed = asyncio.Event()
        settings = Settings(pause_ms=pause_ms, max_delay_ms=max_delay_ms)
        self.backlog = Backlog(self.model, settings, self._on_change, self._on_nothing)
        sampling = Sampling(0, None, 0, 1, 0)
        self.utterance = Utterance(cast(Voice, None), sampling, played_ms=lambda: self.played_ms)
        if begin:
            self.backlog.begin(self.utterance)

    def _on_change(self) -> None:
        self.changes += 1
        self.changed.set()

    def _on_nothing(self) -> None:
        self.nothing += 1
        self.changed.set()

    async def speak_on(self) -> list[str]:
        spoken: list[str] = []
        while not self.utterance.complete:
            spoken += self.speak()
            await asyncio.sleep(0)
        return spoken

    def speak(self) -> list[str]:
        """All segments that are there, and those that come because of it."""
        spoken = []
        while not self.utterance.idle:
            segment = self.utterance.begin_segment()
            while self.utterance.segment:
                self.utterance.step(False)
            spoken.append(segment.text)
            self.backlog.on_spoken(segment)
        return spoken


async def test_a_finished_sentence_is_handed_on_at_once() -> None:
    desk = Desk()
    desk.backlog.push("Hello there. And ")
    assert desk.changes == 1
    assert desk.speak() == ["Hello there."]


async def test_text_may_come_before_there_is_somebody_to_speak_it() -> None:
    desk = Desk(begin=False)
    desk.backlog.push("Hello there. ")
    desk.backlog.end()
    assert desk.utterance.idle
    desk.backlog.begin(desk.utterance)
    assert await desk.speak_on() == ["Hello there."]


async def test_only_as_much_is_segmented_as_the_engine_needs() -> None:
    desk = Desk()
    text = "One more sentence of this kind comes here, and it is long enough for a piece. " * 800
    desk.backlog.push(text)
    for _ in range(2000):
        await asyncio.sleep(0)
    handed_on = 0
    while desk.utterance._queued:
        desk.utterance.begin_segment()
        handed_on += 1
    assert SEGMENTS_AHEAD <= handed_on < SEGMENTS_AHEAD + PIECE_CHARS / 20
    assert len(text) - 2 * PIECE_CHARS < desk.backlog.waiting_chars <= len(text)


@pytest.mark.parametrize("text", ["A short one. And another! Is it? Yes. " * 50, "x. " * 300, "word " * 300])
async def test_the_segments_do_not_depend_on_how_it_is_handed_on(text: str) -> None:
    segmenter = Segmenter(lambda part: len(part.split()))
    expected = segmenter.push(text) + segmenter.flush()
    whole, single = Desk(), Desk()
    whole.backlog.push(text)
    for char in text:
        single.backlog.push(char)
    for desk in (whole, single):
        desk.backlog.end()
        assert await desk.speak_on() == expected
        assert desk.backlog.waiting_chars == 0


async def test_flushes_stay_in_their_places() -> None:
    desk = Desk(begin=False)
    for word in ("one ", "two ", "three "):
        desk.backlog.push(word)
        desk.backlog.flush()
        desk.backlog.flush()
    desk.backlog.end()
    desk.backlog.begin(desk.utterance)
    assert await desk.speak_on() == ["one", "two", "three"]
    assert desk.nothing == 0


@pytest.mark.parametrize("text", ["", " \n", "...", "🙂" * 1000])
async def test_a_text_without_a_word_is_reported_once(text: str) -> None:
    desk = Desk()
    desk.backlog.push(text)
    desk.backlog.end()
    while not desk.nothing:
        desk.changed.clear()
        await desk.changed.wait()
    assert desk.nothing == 1
    assert desk.utterance.idle


async def test_when_the_writer_pauses_the_whole_words_are_spoken() -> None:
    desk = Desk(pause_ms=1)
    desk.backlog.push("and then sudd")
    await desk.changed.wait()
    assert desk.speak() == ["and then"]
    desk.backlog.push("enly it rained. ")
    assert desk.speak() == ["suddenly it rained."]


async def test_a_writer_who_goes_on_is_waited_for_but_not_for_ever() -> None:
    """The clock is moved by hand: words come every 500 ms."""
    desk = Desk(pause_ms=800, max_delay_ms=3000)
    loop = asyncio.get_running_loop()
    due_ms = []
    began = loop.time()
    with pytest.MonkeyPatch.context() as patched:
        for word in range(8):
            patched.setattr(loop, "time", lambda word=word: began + word / 2)
            desk.backlog.push("word ")
            assert desk.backlog._pause is not None
            due_ms.append(round((desk.backlog._pause.when() - began) * 1000))
    assert due_ms == [800, 1300, 1800, 2300, 2800, 3000, 3000, 3000]
    desk.backlog.close()


async def test_a_pause_is_noticed_when_the_last_segment_is_spoken() -> None:
    desk = Desk(pause_ms=1)
    desk.backlog.push("Hello there. And then ")
    await asyncio.sleep(0.01)
    assert desk.changes == 1  # it still speaks
    desk.changed.clear()
    assert desk.speak() == ["Hello there."]
    desk.played_ms = desk.utterance.produced_ms
    await desk.changed.wait()
    assert desk.speak() == ["And then"]


async def test_a_clause_is_spoken_before_the_listener_runs_dry() -> None:
    desk = Desk(pause_ms=ENDLESS_MS)
    desk.backlog.push("Hello there. Then we shall eat, and after that ")
    desk.played_ms = 160.0
    assert desk.speak() == ["Hello there."]
    desk.changed.clear()
    await desk.changed.wait()
    assert desk.speak() == ["Then we shall eat,"]
    desk.backlog.push("we go. ")
    assert desk.speak() == ["and after that we go."]


async def test_the_first_words_wait_for_more_than_a_clause() -> None:
    desk = Desk(pause_ms=ENDLESS_MS)
    desk.backlog.push("Then we eat, and after that ")
    await asyncio.sleep(0.01)
    assert desk.changes == 0


async def test_a_listener_who_has_plenty_waits_for_the_writer() -> None:
    desk = Desk(pause_ms=1)
    desk.utterance.produced_frames = 1000
    desk.backlog.push("and then ")
    await asyncio.sleep(0.02)
    assert desk.changes == 0


async def test_half_a_word_waits_for_its_other_half() -> None:
    desk = Desk(pause_ms=1)
    desk.backlog.push("sudd")
    await asyncio.sleep(0.01)
    assert desk.changes == 0
    desk.backlog.push("enly ")
    await desk.changed.wait()
    assert desk.speak() == ["suddenly"]


async def test_nothing_happens_after_closing() -> None:
    desk = Desk(pause_ms=1)
    desk.backlog.push("One. Two. Three. " * 100 + "and then ")
    desk.backlog.close()
    changes = desk.changes
    await asyncio.sleep(0.01)
    desk.backlog.push("More. ")
    assert desk.changes == changes
