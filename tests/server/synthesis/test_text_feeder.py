import asyncio
from typing import cast

import pytest

from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling
from sayline_tts.engine.text.chunk import Passage
from sayline_tts.engine.text.reader import Reader
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.text_feeder import PARTS_AHEAD, PIECE_CHARS, Backlog, Flush, Manner
from tests.server.fakes import FakeModel

ENDLESS_MS = 1e9
MANAGED = Manner()
LAST_FLUSHES = (Flush("2"), Flush(None))


class Desk:
    """A backlog, its utterance, and an engine that speaks when told to."""

    def __init__(
        self,
        pause_ms: float = ENDLESS_MS,
        max_delay_ms: float = ENDLESS_MS,
        begin: bool = True,
        manner: Manner = MANAGED,
    ) -> None:
        self.model = cast(Model, FakeModel())
        self.changes, self.nothing, self.played_ms = 0, 0, 0.0
        self.changed = asyncio.Event()
        settings = Settings(pause_ms=pause_ms, max_delay_ms=max_delay_ms)
        self.spoken: list[str | Flush | None] = []
        self.backlog = Backlog(self.model, settings, self._on_change, self._on_nothing, self.spoken.append, manner)
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
            if self.utterance.silent:
                self._be_silent()
                continue
            segment = self.utterance.begin_segment()
            while self.utterance.segment:
                self.utterance.step(False)
            spoken.append(segment.text)
            self.spoken.append(segment.text)
            self.backlog.on_spoken(segment)
        return spoken

    def _be_silent(self) -> None:
        silence = None
        while silence is None:
            silence = self.utterance.be_silent()
        self.spoken.append(f"{silence.frames} frames")
        self.backlog.on_spoken(silence)


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
    assert PARTS_AHEAD <= handed_on < PARTS_AHEAD + PIECE_CHARS / 20
    assert len(text) - 2 * PIECE_CHARS < desk.backlog.waiting_chars <= len(text)


@pytest.mark.parametrize("text", ["A short one. And another! Is it? Yes. " * 50, "x. " * 300, "word " * 300])
async def test_the_segments_do_not_depend_on_how_it_is_handed_on(text: str) -> None:
    reader = Reader(lambda part: len(part.split()))
    expected = [one.spoken for one in reader.push(text) + reader.flush() if isinstance(one, Passage)]
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
    for number, word in enumerate(("one ", "two ", "three ")):
        desk.backlog.push(word)
        desk.backlog.flush(str(number))
        desk.backlog.flush()
    assert desk.backlog.waiting_flushes == 6
    desk.backlog.end()
    desk.backlog.begin(desk.utterance)
    assert await desk.speak_on() == ["one", "two", "three"]
    assert desk.spoken == ["one", Flush("0"), Flush(None), "two", Flush("1"), Flush(None), "three", *LAST_FLUSHES]
    assert desk.backlog.waiting_flushes == 0
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


async def test_a_flush_of_nothing_is_answered_at_once_and_one_of_speech_behind_it() -> None:
    desk = Desk()
    desk.backlog.flush("now")
    assert desk.spoken == [Flush("now")]
    desk.backlog.push("Hello there. And then")
    desk.backlog.flush("then")
    assert desk.spoken == [Flush("now")]
    desk.speak()
    assert desk.spoken == [Flush("now"), "Hello there.", "And then", Flush("then")]


async def test_a_pause_is_handed_on_in_its_place_and_as_long_as_it_was_asked_for() -> None:
    desk = Desk()
    desk.backlog.push('One. <break time="800ms"/> Two. [pause:0.4] Three. [pause:0.01]')
    desk.backlog.flush()
    desk.speak()
    assert desk.spoken == ["One.", "10 frames", "Two.", "5 frames", "Three.", Flush(None)]


async def test_a_pause_is_not_shorter_for_who_hears_it_faster() -> None:
    desk = Desk(manner=Manner(speed=2.0))
    desk.backlog.push("One. [pause:0.8] ")
    desk.speak()
    assert desk.spoken == ["One.", "20 frames"]


async def test_a_pause_alone_is_something() -> None:
    desk = Desk()
    desk.backlog.push("[pause:0.8]")
    desk.backlog.end()
    desk.speak()
    assert (desk.spoken, desk.nothing) == (["10 frames"], 0)


async def test_a_verbatim_text_is_one_phrase_whatever_is_in_it() -> None:
    desk = Desk(manner=Manner(verbatim=True))
    for phrase in ("One. Two. Three", "and so on", "", " and more. "):
        desk.backlog.push(phrase)
    desk.backlog.end()
    assert await desk.speak_on() == ["One. Two. Three", "and so on", "and more."]


async def test_words_know_where_they_stand_in_all_text_that_was_sent() -> None:
    desk = Desk()
    desk.backlog.push("Hello ")
    desk.backlog.push("there. And")
    segment = desk.utterance.begin_segment()
    assert [(word.text, word.start, word.end) for word in segment.words] == [("Hello", 0, 5), ("there.", 6, 12)]


async def test_a_context_has_a_time_limit_of_its_own() -> None:
    desk = Desk(manner=Manner(max_delay_ms=1))
    desk.backlog.push("and then ")
    await desk.changed.wait()
    assert desk.speak() == ["and then"]


async def test_what_waits_counts_from_the_last_that_was_spoken() -> None:
    desk = Desk()
    desk.backlog.push("Hello there. And then ")
    assert desk.backlog.waiting_chars == 22
    desk.speak()
    assert desk.backlog.waiting_chars == 22 - 12
    desk.backlog.flush()
    desk.speak()
    desk.backlog.push("\n\n \n")
    assert (desk.backlog.waiting_chars, desk.backlog.settled_chars) == (0, 26)
    assert desk.backlog.idle


async def test_when_there_was_something_to_say_first_is_known() -> None:
    desk = Desk()
    desk.backlog.push("and then ")
    assert desk.backlog.spoke_at is None
    desk.backlog.push("it rained. ")
    assert desk.backlog.spoke_at == desk.backlog._written_at
