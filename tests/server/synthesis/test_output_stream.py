"""Order and errors of the events that one listener gets, without an engine."""

import asyncio
import threading
from concurrent.futures import Future
from typing import cast

import numpy as np
import pytest
import torch

from sayline_tts.engine.engine import FrameSpoken, SegmentSpoken, SilenceSpoken, UtteranceEnded
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import WordTime
from sayline_tts.server.synthesis.output_stream import OutputStream
from sayline_tts.server.synthesis.repeat_cache import Recorder, RepeatCache, RepeatKey

SEGMENT = Segment("Hello.", (1,), 2, 0)
UTTERANCE = Utterance(Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)), Sampling(0, None, 0, 1, 0))


class RecordingListener:
    def __init__(self) -> None:
        self.events: list[object] = []
        self.encoded_by: list[str] = []
        self.first_samples: list[float] = []
        self.ended = asyncio.Event()

    def encode(self, pcm: np.ndarray) -> bytes:
        self.encoded_by.append(threading.current_thread().name)
        self.first_samples.append(float(pcm[0]))
        return bytes([int(pcm[-1])])

    def end_part(self) -> bytes:
        self.encoded_by.append(threading.current_thread().name)
        return b"rest"

    def on_queue_position(self, position: int | None) -> None:
        self.events.append(f"place {position}")

    def on_part_end(self, data: bytes) -> None:
        self.events.append(data.decode())

    def on_word(self, time: WordTime) -> None:
        self.events.append(time.word.text)

    def on_silence(self, silence: Silence) -> None:
        self.events.append(silence)

    def on_frame(self, data: bytes) -> None:
        self.events.append(data[0])

    def on_segment(self, segment: Segment, start_ms: float, end_ms: float) -> None:
        self.events.append(segment.text)

    def on_ended(self, status: Status) -> None:
        self.events.append(status)
        self.ended.set()


class Rig:
    """A stream that holds two frames, their segment and the end; no frame is decoded yet."""

    def __init__(self) -> None:
        self.listener, self.over = RecordingListener(), list[OutputStream]()
        self.stream = OutputStream(UTTERANCE, self.listener, self.over.append)
        self.sounds: list[Future[np.ndarray]] = [Future(), Future()]
        for sound in self.sounds:
            self.stream.add(FrameSpoken(UTTERANCE, sound))
        self.stream.add(SegmentSpoken(UTTERANCE, SEGMENT, 0, 160))
        self.stream.add(UtteranceEnded(UTTERANCE, Status.FINISHED, 0))

    def decode(self, number: int) -> None:
        thread = threading.Thread(
            target=self.sounds[number].set_result, args=(np.full(100, number, np.float32),), name="codec"
        )
        thread.start()
        thread.join()


async def run_loop() -> None:
    """Let the event loop run its ready callbacks."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_events_after_a_frame_wait_for_its_audio() -> None:
    rig = Rig()
    rig.decode(1)
    await run_loop()
    assert rig.listener.events == []
    rig.decode(0)
    await rig.listener.ended.wait()
    assert rig.listener.events == [0, 1, "rest", "Hello.", Status.FINISHED]
    assert rig.over == [rig.stream]


async def test_frame_is_delivered_before_the_next_is_decoded() -> None:
    rig = Rig()
    rig.decode(0)
    await run_loop()
    assert rig.listener.events == [0]


async def test_frames_are_encoded_on_the_decoder_thread() -> None:
    rig = Rig()
    for number in range(2):
        rig.decode(number)
    await rig.listener.ended.wait()
    assert rig.listener.encoded_by == ["codec", "codec", "codec"]


async def test_only_the_first_frame_that_is_not_silent_is_faded_in() -> None:
    rig = Rig()
    rig.stream.add(FrameSpoken(UTTERANCE, again := Future[np.ndarray]()))
    rig.decode(0)
    rig.decode(1)
    again.set_result(np.ones(100, np.float32))
    await run_loop()
    assert rig.listener.first_samples == [0, 0, 1]


async def test_decoding_error_ends_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.decode(0)
    rig.sounds[1].set_exception(MemoryError("no room"))
    await rig.listener.ended.wait()
    assert rig.listener.events == [0, Status.FAILED]
    assert rig.over == [rig.stream]
    assert "no room" in caplog.text


async def test_closed_stream_makes_no_more_calls() -> None:
    rig = Rig()
    rig.stream.close()
    rig.stream.close()
    rig.stream.finish(Status.CANCELLED)
    for number in range(2):
        rig.decode(number)
    await run_loop()
    assert (rig.listener.events, rig.listener.encoded_by, rig.over) == ([], [], [rig.stream])


async def test_queue_position_is_reported_when_it_changes() -> None:
    stream = OutputStream(UTTERANCE, listener := RecordingListener(), lambda stream: None)
    for position in (None, 2, 2, 1, None):
        stream.set_queue_position(position)
    assert listener.events == ["place 2", "place 1", "place None"]


async def test_gain_is_for_what_is_heard_and_kept_but_not_for_the_aligner() -> None:
    cache, key = RepeatCache(10**6), cast(RepeatKey, "any")
    listener, seen = RecordingListener(), list[float]()
    stream = OutputStream(UTTERANCE, listener, lambda stream: None, Recorder(cache, key), gain=0.5)
    sound = Future[np.ndarray]()
    sound.set_result(np.full(100, 4.0, np.float32))

    def words(pcm: np.ndarray | None) -> list[WordTime]:
        seen.extend([] if pcm is None else [float(pcm[-1])])
        return []

    stream.add(FrameSpoken(UTTERANCE, sound, words))
    stream.add(SegmentSpoken(UTTERANCE, SEGMENT, 0, 80, words))
    stream.add(UtteranceEnded(UTTERANCE, Status.FINISHED, 0))
    await listener.ended.wait()
    assert (seen, listener.events[0]) == ([4.0], 2)
    stream._recorder.finish()  # type: ignore[union-attr]
    (part,) = cache.get(key) or ()
    assert part.frames[0][1][-1] == 2.0


async def test_word_precedes_its_frame_and_silence_follows_its_last_frame() -> None:
    rig = Rig()
    stream = OutputStream(UTTERANCE, rig.listener, rig.over.append)
    sound = Future[np.ndarray]()
    hello, you = (WordTime(Word(each, 0, 6, each), 0, 80) for each in ("Hello", "you."))
    stream.add(FrameSpoken(UTTERANCE, sound, lambda pcm: [hello] if pcm is not None else []))
    stream.add(SegmentSpoken(UTTERANCE, SEGMENT, 0, 80, lambda pcm: [you] if pcm is None else []))
    stream.add(SilenceSpoken(UTTERANCE, Silence(1)))
    stream.add(UtteranceEnded(UTTERANCE, Status.FINISHED, 0))
    assert rig.listener.events == []
    sound.set_result(np.zeros(1))
    await rig.listener.ended.wait()
    assert rig.listener.events == ["Hello", 0, "you.", "rest", "Hello.", "rest", Silence(1), Status.FINISHED]


async def test_part_whose_frames_are_delivered_ends_at_once() -> None:
    rig = Rig()
    stream = OutputStream(UTTERANCE, rig.listener, rig.over.append)
    sound = Future[np.ndarray]()
    sound.set_result(np.zeros(1))
    stream.add(FrameSpoken(UTTERANCE, sound))
    await run_loop()
    stream.add(SegmentSpoken(UTTERANCE, SEGMENT, 0, 80))
    await run_loop()
    assert rig.listener.events == [0, "rest", "Hello."]


async def test_waiting_since_is_set_while_a_frame_is_in_the_codec() -> None:
    rig = Rig()
    assert rig.stream.waiting_since is not None
    for number in range(2):
        rig.decode(number)
    await rig.listener.ended.wait()
    assert rig.stream.waiting_since is None
