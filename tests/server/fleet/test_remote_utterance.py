"""An engine that says what cannot be is not believed."""

import numpy as np
import pytest
import torch

from sayline_tts.engine.engine import Event, FrameSpoken, SegmentSpoken
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_timestamps import WordTimestamps
from sayline_tts.server.fleet import wire
from sayline_tts.server.fleet.remote_utterance import RemoteUtterance
from sayline_tts.server.fleet.wire import WireError

VOICE = Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
PCM = np.zeros(1920, np.float32)


def remote_of(*parts: Segment | Silence) -> tuple[RemoteUtterance, list[Event]]:
    events: list[Event] = []
    utterance = Utterance(VOICE, Sampling(0.0, None, 0.0, 1, 3))
    for part in parts:
        utterance.add(part)
    remote = RemoteUtterance(
        utterance, WordTimestamps(0.0), events.append, lambda audio, pcm: audio.set_result(pcm), PCM, 3
    )
    remote.start(1, "cpu", b"voice")
    remote.new_parts()
    return remote, events


def frame(version: int = 1, is_eos: bool = False) -> wire.Frame:
    return wire.Frame(1, version, is_eos, b"1234", b"", wire.to_bytes(PCM), 3, 0, 0)


def test_frame_of_a_version_that_was_not_sent() -> None:
    remote, _ = remote_of(Segment("Hi.", (1,), 4, 2))
    for version in (0, 2):
        with pytest.raises(WireError, match="not sent"):
            remote.on_frame(frame(version))


def test_frame_without_a_text() -> None:
    remote, _ = remote_of()
    with pytest.raises(WireError, match="not sent"):
        remote.on_frame(frame())


def test_frame_of_a_pause_and_pause_within_speech() -> None:
    remote, _ = remote_of(Silence(2))
    with pytest.raises(WireError, match="a frame of a pause"):
        remote.on_frame(frame())
    for other in (remote_of()[0], remote_of(Segment("Hi.", (1,), 4, 2))[0]):
        with pytest.raises(WireError, match="a silent frame outside"):
            other.on_silent_frame()


def test_segment_that_ends_before_its_speech() -> None:
    remote, _ = remote_of(Segment("Hi.", (1,), 9, 2))
    remote.on_frame(frame())
    with pytest.raises(WireError, match="before its speech does"):
        remote.on_segment_end(wire.SegmentEnd(1, b"", 3, 1))


def test_utterance_is_cancelled_once() -> None:
    remote, events = remote_of(Segment("Hi.", (1,), 1, 0))
    remote.cancel()
    assert remote.utterance.status is Status.CANCELLED
    remote.cancel()
    assert events == []


def test_segment_ends_after_a_step_without_a_frame() -> None:
    remote, events = remote_of(Segment("Hi.", (1,), 2, 0))
    remote.on_frame(frame())
    remote.on_segment_end(wire.SegmentEnd(1, b"", 3, 7))
    assert [type(event) for event in events] == [FrameSpoken, SegmentSpoken]
    assert remote.utterance.noise.draws == 7


def test_place_in_a_text_that_grows_is_estimated_without_attention() -> None:
    words = tuple(Word(each, 5 * at, 5 * at + 4, each) for at, each in enumerate(("word", "cold", "more", "last")))
    remote, _ = remote_of(Segment("word cold more last", (1, 2, 3, 4), 40, 0, words, (0, 1, 2, 3), 2))
    for _ in range(12):
        remote.on_frame(frame())
    progress = remote.utterance.progress
    assert progress is not None
    assert progress.word > 0
