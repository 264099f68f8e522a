"""Order and faults of what one listener is told; with an engine behind it: test_worker.py."""

import asyncio
import threading
from concurrent.futures import Future

import numpy as np
import pytest
import torch

from sayline_tts.engine.engine import FrameSpoken, SegmentSpoken, SilenceSpoken, UtteranceEnded
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.synthesis.output_stream import Line

SEGMENT = Segment("Hello.", (1,), 2, 0)
UTTERANCE = Utterance(Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)), Sampling(0, None, 0, 1, 0))


class Ear:
    def __init__(self) -> None:
        self.told: list[object] = []
        self.encoded_by: list[str] = []
        self.ended = asyncio.Event()

    def encode(self, pcm: np.ndarray) -> bytes:
        self.encoded_by.append(threading.current_thread().name)
        return bytes([int(pcm[0])])

    def end_part(self) -> bytes:
        self.encoded_by.append(threading.current_thread().name)
        return b"rest"

    def on_place(self, place: int) -> None:
        self.told.append(f"place {place}")

    def on_part_end(self, data: bytes) -> None:
        self.told.append(data.decode())

    def on_word(self, time: WordTime) -> None:
        self.told.append(time.word.text)

    def on_silence(self, silence: Silence) -> None:
        self.told.append(silence)

    def on_frame(self, data: bytes) -> None:
        self.told.append(data[0])

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self.told.append(segment.text)

    def on_ended(self, status: Status) -> None:
        self.told.append(status)
        self.ended.set()


class Rig:
    """A line with two frames, their segment and the end of it all in it; nothing is decoded yet."""

    def __init__(self) -> None:
        self.ear, self.over = Ear(), list[Line]()
        self.line = Line(UTTERANCE, self.ear, self.over.append)
        self.sounds: list[Future[np.ndarray]] = [Future(), Future()]
        for sound in self.sounds:
            self.line.add(FrameSpoken(UTTERANCE, sound))
        self.line.add(SegmentSpoken(UTTERANCE, SEGMENT, 0, 160))
        self.line.add(UtteranceEnded(UTTERANCE, Status.FINISHED, 0))

    def decode(self, number: int) -> None:
        thread = threading.Thread(target=self.sounds[number].set_result, args=(np.full(1, number),), name="codec")
        thread.start()
        thread.join()


async def turn() -> None:
    """Of the loop."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_what_follows_a_frame_waits_for_its_sound() -> None:
    rig = Rig()
    rig.decode(1)
    await turn()
    assert rig.ear.told == []
    rig.decode(0)
    await rig.ear.ended.wait()
    assert rig.ear.told == [0, 1, "rest", "Hello.", Status.FINISHED]
    assert rig.over == [rig.line]


async def test_a_frame_is_told_before_the_next_one_is_decoded() -> None:
    rig = Rig()
    rig.decode(0)
    await turn()
    assert rig.ear.told == [0]


async def test_frames_are_encoded_where_they_were_decoded() -> None:
    rig = Rig()
    for number in range(2):
        rig.decode(number)
    await rig.ear.ended.wait()
    assert rig.ear.encoded_by == ["codec", "codec", "codec"]


async def test_a_frame_that_cannot_be_decoded_ends_the_line(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.decode(0)
    rig.sounds[1].set_exception(MemoryError("no room"))
    await rig.ear.ended.wait()
    assert rig.ear.told == [0, Status.FAILED]
    assert rig.over == [rig.line]
    assert "no room" in caplog.text


async def test_who_was_cut_off_hears_nothing_more() -> None:
    rig = Rig()
    rig.line.cut()
    rig.line.cut()
    rig.line.end(Status.CANCELLED)
    for number in range(2):
        rig.decode(number)
    await turn()
    assert (rig.ear.told, rig.ear.encoded_by, rig.over) == ([], [], [rig.line])


async def test_a_place_is_told_when_it_changes() -> None:
    line = Line(UTTERANCE, ear := Ear(), lambda line: None)
    for place in (None, 2, 2, 1, None):
        line.move_to(place)
    assert ear.told == ["place 2", "place 1"]


async def test_a_word_comes_before_its_frame_and_a_pause_behind_its_last() -> None:
    rig = Rig()
    line = Line(UTTERANCE, rig.ear, rig.over.append)
    sound = Future[np.ndarray]()
    hello, you = (WordTime(Word(each, 0, 6, each), 0, 80) for each in ("Hello", "you."))
    line.add(FrameSpoken(UTTERANCE, sound, lambda pcm: [hello] if pcm is not None else []))
    line.add(SegmentSpoken(UTTERANCE, SEGMENT, 0, 80, lambda pcm: [you] if pcm is None else []))
    line.add(SilenceSpoken(UTTERANCE, Silence(1)))
    line.add(UtteranceEnded(UTTERANCE, Status.FINISHED, 0))
    assert rig.ear.told == []
    sound.set_result(np.zeros(1))
    await rig.ear.ended.wait()
    assert rig.ear.told == ["Hello", 0, "you.", "rest", "Hello.", "rest", Silence(1), Status.FINISHED]


async def test_a_part_whose_frames_have_gone_ends_at_once() -> None:
    rig = Rig()
    line = Line(UTTERANCE, rig.ear, rig.over.append)
    sound = Future[np.ndarray]()
    sound.set_result(np.zeros(1))
    line.add(FrameSpoken(UTTERANCE, sound))
    await turn()
    line.add(SegmentSpoken(UTTERANCE, SEGMENT, 0, 80))
    await turn()
    assert rig.ear.told == [0, "rest", "Hello."]


async def test_since_when_it_waits_for_a_sound_is_known() -> None:
    rig = Rig()
    assert rig.line.waits_since is not None
    for number in range(2):
        rig.decode(number)
    await rig.ear.ended.wait()
    assert rig.line.waits_since is None
