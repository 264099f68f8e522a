import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.playback_buffer import PlaybackPosition
from sayline_tts.engine.scheduling.utterance import Utterance
from sayline_tts.engine.segment import Sampling, Segment
from sayline_tts.engine.text.chunk import TextChunk, Word
from sayline_tts.engine.text.reader import Reader
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.part_queue import Flush
from sayline_tts.server.synthesis.text_feeder import CHUNK_CHARS, PARTS_AHEAD, TextFeeder
from sayline_tts.server.synthesis.text_options import TextOptions
from tests.server.fakes import FakeModel

ENDLESS_MS = 1e9
MANAGED = TextOptions()
LAST_FLUSHES = (Flush("2"), Flush(None))


class Harness:
    """A feeder, its utterance, and an engine that runs only when a test makes it."""

    def __init__(
        self,
        pause_ms: float = ENDLESS_MS,
        max_delay_ms: float = ENDLESS_MS,
        attach: bool = True,
        text_options: TextOptions = MANAGED,
    ) -> None:
        self.model = cast(Model, FakeModel())
        self.changes, self.empty_reports = 0, 0
        self.playback = PlaybackPosition()
        self.changed = asyncio.Event()
        settings = Settings(pause_ms=pause_ms, max_delay_ms=max_delay_ms)
        self.spoken: list[str | Flush | None] = []
        self.feeder = TextFeeder(
            self.model, settings, self._on_change, self._on_empty, self.spoken.append, text_options
        )
        sampling = Sampling(0, None, 0, 1, 0)
        self.utterance = Utterance(cast(Voice, None), sampling, playback=self.playback)
        if attach:
            self.feeder.attach(self.utterance)

    def _on_change(self) -> None:
        self.changes += 1
        self.changed.set()

    def _on_empty(self, reason: str) -> None:
        self.empty_reports += 1
        self.changed.set()

    async def speak_until_complete(self) -> list[str]:
        spoken: list[str] = []
        while not self.utterance.complete:
            spoken += self.speak()
            await asyncio.sleep(0)
        return spoken

    def speak(self) -> list[str]:
        """Speak every segment that is queued or follows while speaking; return their texts."""
        spoken = []
        while not self.utterance.idle:
            if self.utterance.silence_due:
                self._play_silence()
                continue
            segment = self.utterance.begin_segment().segment
            while self.utterance.segment:
                self.utterance.step(False)
            spoken.append(segment.text)
            self.spoken.append(segment.text)
            self.feeder.on_spoken(segment)
        return spoken

    def _play_silence(self) -> None:
        silence = None
        while silence is None:
            silence = self.utterance.step_silence()
        self.spoken.append(f"{silence.frames} frames")
        self.feeder.on_spoken(silence)


async def test_complete_sentence_is_fed_at_once() -> None:
    harness = Harness()
    harness.feeder.push("Hello there. And ")
    assert harness.changes == 1
    assert harness.speak() == ["Hello there."]


async def test_text_may_precede_the_utterance() -> None:
    harness = Harness(attach=False)
    harness.feeder.push("Hello there. ")
    harness.feeder.end()
    assert harness.utterance.idle
    harness.feeder.attach(harness.utterance)
    assert await harness.speak_until_complete() == ["Hello there."]


@pytest.mark.parametrize("lookahead_words", [0, 2])
async def test_model_is_told_where_a_phrase_is_divided(monkeypatch: pytest.MonkeyPatch, lookahead_words: int) -> None:
    continuing, make = list[str](), FakeModel.segment

    def segment(
        self: FakeModel, text: str, words: Sequence[Word] = (), lookahead_words: int = 0, continues: bool = False
    ) -> Segment:
        continuing.extend([text] if continues else [])
        return make(self, text, words, lookahead_words, continues)

    monkeypatch.setattr(FakeModel, "segment", segment)
    harness = Harness(text_options=TextOptions(lookahead_words=lookahead_words))
    for word in ["Once"] + ["more"] * 40 + ["and"] + ["then"] * 30:
        harness.feeder.push(f"{word} ")
    harness.feeder.end()
    spoken = await harness.speak_until_complete()
    assert continuing == spoken[:1]
    assert spoken[1:] == ["and" + " then" * 30] or lookahead_words  # what is spoken already is not divided


async def test_only_a_few_parts_are_fed_ahead() -> None:
    harness = Harness()
    text = "One more sentence of this kind comes here, and it is long enough for a piece. " * 800
    harness.feeder.push(text)
    for _ in range(2000):
        await asyncio.sleep(0)
    fed = 0
    while harness.utterance._queued:
        harness.utterance.begin_segment()
        fed += 1
    assert PARTS_AHEAD <= fed < PARTS_AHEAD + CHUNK_CHARS / 20
    assert len(text) - 2 * CHUNK_CHARS < harness.feeder.pending_chars <= len(text)


@pytest.mark.parametrize("text", ["A short one. And another! Is it? Yes. " * 50, "x. " * 300, "word " * 300])
async def test_segments_do_not_depend_on_how_the_text_is_split(text: str) -> None:
    reader = Reader(lambda part: len(part.split()))
    expected = [one.spoken for one in reader.push(text) + reader.flush() if isinstance(one, TextChunk)]
    whole, single = Harness(), Harness()
    whole.feeder.push(text)
    for char in text:
        single.feeder.push(char)
    for harness in (whole, single):
        harness.feeder.end()
        assert await harness.speak_until_complete() == expected
        assert harness.feeder.pending_chars == 0


async def test_flushes_keep_their_order_with_the_text() -> None:
    harness = Harness(attach=False)
    for number, word in enumerate(("one ", "two ", "three ")):
        harness.feeder.push(word)
        harness.feeder.flush(str(number))
        harness.feeder.flush()
    assert harness.feeder.pending_flushes == 6
    harness.feeder.end()
    harness.feeder.attach(harness.utterance)
    assert await harness.speak_until_complete() == ["one", "two", "three"]
    assert harness.spoken == ["one", Flush("0"), Flush(None), "two", Flush("1"), Flush(None), "three", *LAST_FLUSHES]
    assert harness.feeder.pending_flushes == 0
    assert harness.empty_reports == 0


@pytest.mark.parametrize("text", ["", " \n", "...", "🙂" * 1000])
async def test_text_without_a_word_is_reported_once(text: str) -> None:
    harness = Harness()
    harness.feeder.push(text)
    harness.feeder.end()
    while not harness.empty_reports:
        harness.changed.clear()
        await harness.changed.wait()
    assert harness.empty_reports == 1
    assert harness.utterance.idle


async def test_complete_words_are_spoken_when_the_writer_pauses() -> None:
    harness = Harness(pause_ms=1)
    harness.feeder.push("and then sudd")
    await harness.changed.wait()
    assert harness.speak() == ["and then"]
    harness.feeder.push("enly it rained. ")
    assert harness.speak() == ["suddenly it rained."]


async def test_pause_timer_restarts_with_each_push_up_to_max_delay() -> None:
    """The test sets the clock: a word arrives every 500 ms."""
    harness = Harness(pause_ms=800, max_delay_ms=3000)
    loop = asyncio.get_running_loop()
    due_ms = []
    began = loop.time()
    with pytest.MonkeyPatch.context() as patched:
        for word in range(8):
            patched.setattr(loop, "time", lambda word=word: began + word / 2)
            harness.feeder.push("word ")
            assert harness.feeder._pause_timer.due_s is not None
            due_ms.append(round((harness.feeder._pause_timer.due_s - began) * 1000))
    assert due_ms == [800, 1300, 1800, 2300, 2800, 3000, 3000, 3000]
    harness.feeder.close()


async def test_pause_timer_starts_after_the_last_segment() -> None:
    harness = Harness(pause_ms=1)
    harness.feeder.push("Hello there. And then ")
    await asyncio.sleep(0.01)
    assert harness.changes == 1  # the segment is still being spoken
    harness.changed.clear()
    assert harness.speak() == ["Hello there."]
    harness.playback.played_ms = harness.utterance.produced_ms
    await harness.changed.wait()
    assert harness.speak() == ["And then"]


async def test_complete_clause_is_spoken_before_an_underrun() -> None:
    harness = Harness(pause_ms=ENDLESS_MS)
    harness.feeder.push("Hello there. Then we shall eat, and after that ")
    harness.playback.played_ms = 160.0
    assert harness.speak() == ["Hello there."]
    harness.changed.clear()
    await harness.changed.wait()
    assert harness.speak() == ["Then we shall eat,"]
    harness.feeder.push("we go. ")
    assert harness.speak() == ["and after that we go."]


async def test_first_clause_waits_for_its_sentence() -> None:
    harness = Harness(pause_ms=ENDLESS_MS)
    harness.feeder.push("Then we eat, and after that ")
    await asyncio.sleep(0.01)
    assert harness.changes == 0


async def test_long_lead_waits_for_the_writer() -> None:
    harness = Harness(pause_ms=1)
    harness.utterance.buffer.produced_frames = 1000
    harness.feeder.push("and then ")
    await asyncio.sleep(0.02)
    assert harness.changes == 0


async def test_incomplete_word_waits_for_its_rest() -> None:
    harness = Harness(pause_ms=1)
    harness.feeder.push("sudd")
    await asyncio.sleep(0.01)
    assert harness.changes == 0
    harness.feeder.push("enly ")
    await harness.changed.wait()
    assert harness.speak() == ["suddenly"]


async def test_close_stops_feeding() -> None:
    harness = Harness(pause_ms=1)
    harness.feeder.push("One. Two. Three. " * 100 + "and then ")
    harness.feeder.close()
    changes = harness.changes
    await asyncio.sleep(0.01)
    harness.feeder.push("More. ")
    assert harness.changes == changes


async def test_flush_is_answered_after_the_text_before_it_is_spoken() -> None:
    harness = Harness()
    harness.feeder.flush("now")
    assert harness.spoken == [Flush("now")]
    harness.feeder.push("Hello there. And then")
    harness.feeder.flush("then")
    assert harness.spoken == [Flush("now")]
    harness.speak()
    assert harness.spoken == [Flush("now"), "Hello there.", "And then", Flush("then")]


async def test_pauses_keep_their_place_and_length() -> None:
    harness = Harness()
    harness.feeder.push('One. <break time="800ms"/> Two. [pause:0.4] Three. [pause:0.01]')
    harness.feeder.flush()
    harness.speak()
    assert harness.spoken == ["One.", "10 frames", "Two.", "5 frames", "Three.", Flush(None)]


async def test_pause_length_does_not_depend_on_speed() -> None:
    harness = Harness(text_options=TextOptions(speed=2.0))
    harness.feeder.push("One. [pause:0.8] ")
    harness.speak()
    assert harness.spoken == ["One.", "20 frames"]


async def test_pause_alone_is_not_empty_text() -> None:
    harness = Harness()
    harness.feeder.push("[pause:0.8]")
    harness.feeder.end()
    harness.speak()
    assert (harness.spoken, harness.empty_reports) == (["10 frames"], 0)


async def test_verbatim_push_is_one_phrase() -> None:
    harness = Harness(text_options=TextOptions(verbatim=True))
    for phrase in ("One. Two. Three", "and so on", "", " and more. "):
        harness.feeder.push(phrase)
    harness.feeder.end()
    assert await harness.speak_until_complete() == ["One. Two. Three", "and so on", "and more."]


async def test_word_offsets_count_from_the_beginning_of_all_text() -> None:
    harness = Harness()
    harness.feeder.push("Hello ")
    harness.feeder.push("there. And")
    segment = harness.utterance.begin_segment().segment
    assert [(word.text, word.start, word.end) for word in segment.words] == [("Hello", 0, 5), ("there.", 6, 12)]


async def test_max_delay_can_be_set_for_one_context() -> None:
    harness = Harness(text_options=TextOptions(max_delay_ms=1))
    harness.feeder.push("and then ")
    await harness.changed.wait()
    assert harness.speak() == ["and then"]


async def test_pending_chars_count_from_the_last_spoken_part() -> None:
    harness = Harness()
    harness.feeder.push("Hello there. And then ")
    assert harness.feeder.pending_chars == 22
    harness.speak()
    assert harness.feeder.pending_chars == 22 - 12
    harness.feeder.flush()
    harness.speak()
    harness.feeder.push("\n\n \n")
    assert (harness.feeder.pending_chars, harness.feeder.settled_chars) == (0, 26)
    assert harness.feeder.idle


async def test_first_speakable_time_is_recorded() -> None:
    harness = Harness()
    harness.feeder.push("and then ")
    assert harness.feeder.first_speakable_s is None
    harness.feeder.push("it rained. ")
    assert harness.feeder.first_speakable_s == harness.feeder._last_push_s


LOOKAHEAD = TextOptions(lookahead_words=2)


def newest(harness: Harness) -> Segment | None:
    """The newest version of the last part."""
    utterance = harness.utterance
    if utterance._queued:
        last = utterance._queued[-1]
        return last if isinstance(last, Segment) else None
    return utterance.progress.newest if utterance.progress else None


async def test_sentence_is_handed_over_once_enough_words_are_there_and_grows() -> None:
    harness = Harness(text_options=LOOKAHEAD)
    harness.feeder.push("We walk ")
    assert harness.utterance.idle
    harness.feeder.push("along ")
    open_segment = newest(harness)
    assert open_segment is not None
    assert (open_segment.text, open_segment.open) == ("We walk along", True)
    harness.utterance.begin_segment()
    harness.feeder.push("the ri")
    longer = newest(harness)
    assert longer is not None
    assert (longer.text, longer.open) == ("We walk along the", True)
    assert all(a is b for a, b in zip(open_segment.words, longer.words, strict=False))
    harness.feeder.push("ver. ")
    closed = newest(harness)
    assert closed is not None
    assert (closed.text, closed.open) == ("We walk along the river.", False)
    assert harness.changes == 3
    assert harness.utterance.words_until_wait == 0


async def test_whole_sentence_is_never_open() -> None:
    harness = Harness(text_options=LOOKAHEAD)
    harness.feeder.push("We walk along the river. ")
    segment = newest(harness)
    assert segment is not None
    assert not segment.open


async def test_flush_pause_and_end_close_the_sentence() -> None:
    for closing in ("flush", "pause", "end"):
        harness = Harness(text_options=LOOKAHEAD)
        harness.feeder.push("We walk along the ")
        match closing:
            case "flush":
                harness.feeder.flush()
            case "pause":
                harness.feeder.push("[pause:1]")
            case _:
                harness.feeder.end()
        parts = [part for part in harness.utterance._queued if isinstance(part, Segment)]
        assert [(part.text, part.open) for part in parts] == [("We walk along the", False)]


async def test_long_pause_of_the_writer_closes_what_is_there() -> None:
    harness = Harness(pause_ms=1, text_options=LOOKAHEAD)
    harness.feeder.push("We walk along the ")
    harness.utterance.begin_segment()
    harness.utterance.progress.word = 1  # type: ignore[union-attr]  # it waits for text
    harness.feeder._update_pause_timer(harness.utterance)
    harness.changed.clear()
    await harness.changed.wait()
    segment = newest(harness)
    assert segment is not None
    assert (segment.text, segment.open) == ("We walk along the", False)


async def test_pause_after_a_clause_closes_the_sentence_behind_all_words_that_the_voice_knows() -> None:
    harness = Harness(pause_ms=1, text_options=LOOKAHEAD)
    harness.feeder.push("We walk along the river, and then ")
    harness.utterance.begin_segment()
    harness.feeder._on_pause()
    segment = newest(harness)
    assert segment is not None
    assert (segment.text, segment.open) == ("We walk along the river, and then", False)


async def test_writer_may_pause_while_the_voice_has_words_left() -> None:
    harness = Harness(pause_ms=1, text_options=LOOKAHEAD)
    harness.feeder.push("one two three four five six seven eight nine ten eleven ")
    harness.utterance.begin_segment()
    harness.feeder._update_pause_timer(harness.utterance)
    due_s = harness.feeder._pause_timer.due_s
    assert due_s is not None
    assert due_s - asyncio.get_running_loop().time() > 2, "eight words"
    harness.feeder.close()


async def test_sentence_behind_another_waits_for_its_turn() -> None:
    harness = Harness(pause_ms=1, text_options=LOOKAHEAD)
    harness.feeder.push("One. We walk along the ")
    await asyncio.sleep(0.02)
    segment = newest(harness)
    assert segment is not None
    assert segment.open


async def test_text_that_is_still_to_be_read_is_read_first() -> None:
    harness = Harness(text_options=LOOKAHEAD)
    harness.feeder.push("word " * 60 + "end. ")
    opened = newest(harness)
    assert opened is None
    for _ in range(10):
        await asyncio.sleep(0)
    assert all(not part.open for part in harness.utterance._queued if isinstance(part, Segment))
