"""The engine with the embedded model: rows are independent of each other, and slots keep nothing."""

import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sayline_tts.engine.checkpoint.alignment_heads import write_heads
from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.engine import Engine, Event, FrameSpoken, SegmentSpoken, SilenceSpoken, UtteranceEnded
from sayline_tts.engine.errors import Full
from sayline_tts.engine.execution.decode_queue import FrameDropped
from sayline_tts.engine.execution.decoder import LocalDecoder
from sayline_tts.engine.models.mimi import MimiState
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.playback_buffer import PlaybackPosition
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Sampling, Segment, Silence
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.timing.word_time_estimator import WordTime

TOLERANCE = 2e-4  # of PCM: another batch sums in another order
TEXTS = ["Hello there.", "It is a fine day, is it not?", "Yes.", "One more thing before we go home tonight."]


@pytest.fixture(scope="module")
def voices(model: Model) -> list[Voice]:
    return [model.load_voice(name) for name in model.checkpoint.voices()]


def utterance(model: Model, voice: Voice, text: str | list[str], seed: int = 0, **more: Any) -> Utterance:
    """An utterance of one text, or of several in segments of their own."""
    sampling = Sampling(temperature=0.3, noise_clamp=None, eos_threshold=-1.0, decode_steps=1, seed=seed)
    made = Utterance(voice, sampling, **more)
    for part in [text] if isinstance(text, str) else text:
        for segment in model.segments(part):
            made.add(segment)
    made.end()
    return made


def step(engine: Engine) -> list[Event]:
    """Make one step; wait if only the codec is behind."""
    progress = threading.Event()
    engine.on_progress = progress.set
    while not (batch := engine.schedule()) and engine.throttled:
        assert progress.wait(30)
        progress.clear()
    return engine.commit(batch, engine.run(batch) if batch else None)


class BlockedCodec:
    """Blocks the codec of one engine at its next frame, until `may_continue`. Other engines of the model continue."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_continue = threading.Event(), threading.Event()
        decoder = engine._runner.decode_queue._decoders[0]
        assert isinstance(decoder, LocalDecoder)
        self._state, self._decode = decoder.state, engine.model.mimi.decode
        monkeypatch.setattr(engine.model.mimi, "decode", self._wait)

    def _wait(self, latents: torch.Tensor, state: MimiState, slots: torch.Tensor) -> torch.Tensor:
        if state is self._state:
            self.begun.set()
            assert self.may_continue.wait(30)
        return self._decode(latents, state, slots)


def speak(engine: Engine, *utterances: Utterance, steps_between: int = 0) -> dict[Utterance, np.ndarray]:
    """Add one after the other, some steps apart, and run until all have ended. Returns the PCM of each."""
    frames: dict[Utterance, list[np.ndarray]] = {each: [] for each in utterances}
    to_add, left = list(utterances), set(utterances)
    for turn in range(3000):
        while to_add and turn >= steps_between * (len(utterances) - len(to_add)):
            engine.add(to_add.pop(0))
        for event in step(engine):
            match event:
                case FrameSpoken():
                    frames[event.utterance].append(event.pcm)
                case UtteranceEnded():
                    left.discard(event.utterance)
        if not left:
            return {each: np.concatenate(parts) if parts else np.zeros(0) for each, parts in frames.items()}
    raise AssertionError("an utterance never ends")


def alone(model: Model, voice: Voice, text: str, seed: int) -> np.ndarray:
    single = utterance(model, voice, text, seed)
    return speak(Engine(model, 1), single)[single]


def assert_same(a: np.ndarray, b: np.ndarray) -> None:
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, atol=TOLERANCE)


def test_batched_equals_alone_in_different_slots_and_with_different_voices(model: Model, voices: list[Voice]) -> None:
    cases = [(voices[i % len(voices)], text, i) for i, text in enumerate(TEXTS)]
    together = [utterance(model, *case) for case in cases]
    pcm = speak(Engine(model, 8), *together, steps_between=3)
    for each, case in zip(together, cases, strict=True):
        assert_same(pcm[each], alone(model, *case))


@pytest.mark.slow
def test_a_minute_of_int8_speech_in_changing_company_equals_alone_to_the_last_bit() -> None:
    """Rare differences show late: one level of one activation, off by one after hundreds of frames."""
    model = Model.load(find_checkpoint("embedded"), precision="int8")
    names = list(model.checkpoint.voices())
    cases = [(model.load_voice(names[i % len(names)]), " ".join(TEXTS * 7), i) for i in range(8)]
    together = [utterance(model, *case) for case in cases]
    pcm = speak(Engine(model, 8), *together, steps_between=5)
    assert sum(len(each) for each in pcm.values()) > 60 * model.sample_rate_hz
    for each, case in zip(together, cases, strict=True):
        np.testing.assert_array_equal(pcm[each], alone(model, *case))


def test_reused_slot_equals_a_fresh_one(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1)
    for seed in range(3):
        again = utterance(model, voices[seed % 2], TEXTS[seed], seed)
        assert_same(speak(engine, again)[again], alone(model, voices[seed % 2], TEXTS[seed], seed))


def test_slot_of_a_cancelled_utterance_equals_a_fresh_one(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1)
    cancelled = utterance(model, voices[0], TEXTS[3], 9)
    engine.add(cancelled)
    for _ in range(12):
        step(engine)
    engine.cancel(cancelled)
    engine.cancel(cancelled)
    assert [type(event) for event in step(engine)] == [UtteranceEnded]
    after = utterance(model, voices[0], TEXTS[0], 1)
    assert_same(speak(engine, after)[after], alone(model, voices[0], TEXTS[0], 1))


def test_seed_fixes_the_noise(model: Model, voices: list[Voice]) -> None:
    first, again, other = (alone(model, voices[0], TEXTS[1], seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert len(other) != len(first) or np.abs(other - first).max() > 0.01


def test_codec_state_continues_across_segments_without_a_click(model: Model, voices: list[Voice]) -> None:
    """A codec that is reset steps from digital silence to its own at the first sample of a segment."""
    engine = Engine(model, 1)
    both = utterance(model, voices[0], [TEXTS[0], TEXTS[1]])
    engine.add(both)
    pcm: list[np.ndarray] = []
    seams: list[int] = []
    while not both.over:
        for event in step(engine):
            match event:
                case FrameSpoken():
                    pcm.append(event.pcm)
                case SegmentSpoken():
                    seams.append(len(pcm) * model.frame_samples)
    sound = np.concatenate(pcm)
    assert len(seams) == 2
    assert seams[1] == len(sound)
    step_at_seam = abs(sound[seams[0]] - sound[seams[0] - 1])
    nearby = np.abs(np.diff(sound[seams[0] - 480 : seams[0] + 480]))
    assert step_at_seam <= np.quantile(nearby, 0.99)


def test_segments_report_exactly_when_they_were_spoken(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1)
    spoken = utterance(model, voices[0], [TEXTS[0], TEXTS[2]])
    engine.add(spoken)
    events: list[Event] = []
    while not spoken.over:
        events += step(engine)
    frames = sum(isinstance(event, FrameSpoken) for event in events)
    segments = [event for event in events if isinstance(event, SegmentSpoken)]
    assert segments[0].start_ms == 0
    assert segments[0].end_ms == segments[1].start_ms
    assert segments[1].end_ms == frames * model.frame_ms == spoken.produced_ms
    assert isinstance(events[-1], UtteranceEnded)


def test_utterance_at_its_max_lead_is_paused(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 2)
    playback = PlaybackPosition()
    ahead = utterance(model, voices[0], TEXTS[3], playback=playback, max_lead_ms=240.0)
    engine.add(ahead)
    for _ in range(10):
        step(engine)
    assert ahead.produced_ms == 240
    assert not engine.schedule()
    playback.played_ms = 80.0
    assert not engine.schedule(), "160 ms are above the low-water mark of 120"
    assert engine.next_due_s() == pytest.approx(0.04)
    playback.played_ms = 120.0
    assert engine.schedule()


def test_utterances_beyond_the_slots_queue_in_order(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1, max_waiting=1)
    first, second, third = (utterance(model, voices[0], "Yes.", seed) for seed in range(3))
    engine.add(first)
    step(engine)
    engine.add(second)
    with pytest.raises(Full, match="try again") as full:
        engine.add(third)
    assert full.value.retry_after_ms > 0
    assert (engine.queue_position(first), engine.queue_position(second)) == (None, 1)
    while not second.over:
        step(engine)
        assert second.status is Status.WAITING or first.over
    assert first.status is second.status is Status.FINISHED


def test_utterance_cancelled_in_the_queue_ends_once_without_a_slot(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1, max_waiting=1)
    speaking, waiting = (utterance(model, voices[0], "Yes.", seed) for seed in range(2))
    engine.add(speaking)
    engine.add(waiting)
    engine.cancel(waiting)
    events = step(engine) + step(engine)
    assert [event for event in events if event.utterance is waiting] == [
        UtteranceEnded(waiting, Status.CANCELLED, None)
    ]


def test_waiting_frames_of_a_cancelled_utterance_are_dropped(
    model: Model, voices: list[Voice], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = BlockedCodec(engine := Engine(model, 1), monkeypatch)
    cancelled = utterance(model, voices[0], TEXTS[3])
    engine.add(cancelled)
    (first,) = step(engine)
    assert codec.begun.wait(30)
    (second,) = step(engine)
    engine.cancel(cancelled)
    engine.commit(Batch(()), None)
    assert isinstance(first, FrameSpoken)
    assert isinstance(second, FrameSpoken)
    codec.may_continue.set()
    assert len(first.pcm) == model.frame_samples
    with pytest.raises(FrameDropped):
        second.audio.result(30)
    monkeypatch.undo()
    after = utterance(model, voices[0], TEXTS[0], 1)
    assert_same(speak(engine, after)[after], alone(model, voices[0], TEXTS[0], 1))


def test_previous_utterance_of_a_cancelled_ones_slot_is_decoded_to_its_end(
    model: Model, voices: list[Voice], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = BlockedCodec(engine := Engine(model, 1, max_waiting=1), monkeypatch)
    before, cancelled = (Utterance(voices[0], Sampling(0.3, None, float("inf"), 1, seed)) for seed in range(2))
    for each in (before, cancelled):
        each.add(Segment("", (1, 2), 2, 0))
        each.end()
        engine.add(each)
    events: list[Event] = []
    while not cancelled.produced_ms:
        events += step(engine)
    assert before.over, "its slot is reassigned while its frames wait for the codec"
    engine.cancel(cancelled)
    engine.commit(Batch(()), None)
    codec.may_continue.set()
    frames = [event for event in events if isinstance(event, FrameSpoken) and event.utterance is before]
    assert [len(frame.pcm) for frame in frames] == [model.frame_samples] * 2


def test_real_steps_correct_the_cost_model(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1)
    before = engine._costs.flow_lm(1), engine._costs.prefill(40), engine._costs.codec(1)
    speak(engine, utterance(model, voices[0], TEXTS[0]))
    step(engine)
    after = engine._costs.flow_lm(1), engine._costs.prefill(40), engine._costs.codec(1)
    assert all(now != then for now, then in zip(after, before, strict=True))


def test_failed_step_ends_its_own_utterances_only(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 2)
    failing = utterance(model, voices[0], TEXTS[0])
    engine.add(failing)
    batch = engine.schedule()
    later = utterance(model, voices[0], TEXTS[0], 3)
    assert [event.utterance for event in engine.fail(batch)] == [failing]
    assert failing.status is Status.FAILED
    assert_same(speak(engine, later)[later], alone(model, voices[0], TEXTS[0], 3))


def test_utterance_without_text_finishes_at_once(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1)
    silent = Utterance(voices[0], Sampling(0.3, None, -1.0, 1, 0))
    engine.add(silent)
    assert not engine.schedule()
    silent.end()
    (event,) = engine.commit(Batch(()), None)
    assert event == UtteranceEnded(silent, Status.FINISHED, 0)


def test_slot_is_kept_while_an_open_utterance_has_no_text(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1)
    live = Utterance(voices[0], Sampling(0.3, None, -1.0, 1, 0))
    engine.add(live)
    live.add(model.segment("Yes."))
    while not live.idle:
        step(engine)
    first_ms = live.produced_ms
    assert not engine.schedule()
    assert live.status is Status.RUNNING
    live.add(model.segment("No."))
    live.end()
    while not live.over:
        step(engine)
    assert live.produced_ms > first_ms > 0


@pytest.mark.parametrize("after_eos", [0, 1, 7])
def test_frames_after_the_end_of_speech_are_made(model: Model, voices: list[Voice], after_eos: int) -> None:
    """With a threshold that ends speech as early as possible: after six frames."""
    engine = Engine(model, 1)
    brief = Utterance(voices[0], Sampling(0.0, None, -1e9, 1, 0))
    brief.add(model.segment("Yes.", after_eos))
    brief.end()
    assert len(speak(engine, brief)[brief]) == (6 + after_eos) * model.frame_samples


def test_rows_with_different_decode_steps_share_a_batch(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 3)
    mixed = []
    for steps in (1, 4, 1):
        each = Utterance(voices[0], Sampling(0.3, 1.0, -1.0, steps, 7))
        each.add(model.segment("Yes."))
        each.end()
        mixed.append(each)
    pcm = speak(engine, *mixed)
    assert_same(pcm[mixed[0]], pcm[mixed[2]])
    n = min(len(pcm[mixed[0]]), len(pcm[mixed[1]]))
    assert np.abs(pcm[mixed[0]][:n] - pcm[mixed[1]][:n]).max() > 0.01


def with_pauses(model: Model, voice: Voice, *parts: str | int, seed: int = 0, **more: Any) -> Utterance:
    """An utterance in which a text is a segment, and a number a pause of so many frames."""
    made = Utterance(voice, Sampling(0.3, None, -1.0, 1, seed), **more)
    for part in parts:
        made.add(Silence(part) if isinstance(part, int) else model.segment(part))
    made.end()
    return made


def reported_parts(engine: Engine, utterance: Utterance) -> list[str | int]:
    """Texts and lengths of pauses, in the order of their events."""
    parts: list[str | int] = []
    engine.add(utterance)
    while not utterance.over:
        for event in step(engine):
            match event:
                case SegmentSpoken(segment=segment):
                    parts.append(segment.text)
                case SilenceSpoken(silence=silence):
                    parts.append(silence.frames)
    return parts


def test_pauses_are_zeros_of_exactly_their_length(model: Model, voices: list[Voice]) -> None:
    parts: list[str | int] = [3, 4, TEXTS[0], 7, TEXTS[2], 1, 2]
    speech = with_pauses(model, voices[0], TEXTS[0], TEXTS[2])
    whole = with_pauses(model, voices[0], *parts)
    pcm = speak(Engine(model, 2), whole, speech)
    first, second = np.split(pcm[speech], [len(alone(model, voices[0], TEXTS[0], 0))])
    pause = np.zeros(7 * model.frame_samples)
    assert_same(pcm[whole], np.concatenate([pause, first, pause, second, pause[: 3 * model.frame_samples]]))
    assert np.count_nonzero(pcm[whole] == 0) >= 17 * model.frame_samples
    assert reported_parts(Engine(model, 1), with_pauses(model, voices[0], *parts)) == parts


def test_pause_takes_no_step_and_no_decoding(
    model: Model, voices: list[Voice], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(model, 1)
    monkeypatch.setattr(engine._runner, "run", lambda batch: pytest.fail("a step"))
    monkeypatch.setattr(engine._runner.decode_queue, "put", lambda *_: pytest.fail("a frame for the codec"))
    quiet = with_pauses(model, voices[0], 20, 30)
    pcm = speak(engine, quiet)
    assert pcm[quiet].shape == (50 * model.frame_samples,)
    assert not pcm[quiet].any()
    assert quiet.status is Status.FINISHED


def test_there_is_no_click_at_a_pause(model: Model, voices: list[Voice]) -> None:
    """The tail of speech has decayed before a pause, and the next segment begins as softly."""
    for voice in voices:
        whole = with_pauses(model, voice, TEXTS[1], 5, TEXTS[3])
        sound = speak(Engine(model, 1), whole)[whole]
        silent = np.flatnonzero(np.convolve(sound == 0, np.ones(5 * model.frame_samples), "valid") > 9599)
        begin, end = silent[0], silent[-1] + 5 * model.frame_samples
        assert abs(sound[begin - 1]) < 0.002
        assert abs(sound[end]) < 0.002


def test_pause_is_made_as_playback_proceeds(model: Model, voices: list[Voice]) -> None:
    engine, playback = Engine(model, 1), PlaybackPosition()
    quiet = with_pauses(model, voices[0], 9, playback=playback, max_lead_ms=240.0)
    engine.add(quiet)
    assert [type(event) for event in step(engine)] == [FrameSpoken] * 3
    assert step(engine) == []
    assert engine.next_due_s() == pytest.approx(0.12)
    playback.played_ms = 160.0
    assert [type(event) for event in step(engine)] == [FrameSpoken] * 2
    playback.played_ms = 640.0
    events = step(engine)
    assert [type(event) for event in events] == [FrameSpoken] * 4 + [SilenceSpoken, UtteranceEnded]


def test_utterance_cancelled_in_a_pause_makes_no_more_of_it(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1)
    cancelled = with_pauses(model, voices[0], 9, TEXTS[0], max_lead_ms=240.0)
    engine.add(cancelled)
    step(engine)
    engine.cancel(cancelled)
    assert step(engine) == [UtteranceEnded(cancelled, Status.CANCELLED, 0)]
    after = utterance(model, voices[0], TEXTS[0], 1)
    assert_same(speak(engine, after)[after], alone(model, voices[0], TEXTS[0], 1))


def test_queued_utterance_makes_no_silence(model: Model, voices: list[Voice]) -> None:
    engine = Engine(model, 1, max_waiting=1)
    speaking, waiting = with_pauses(model, voices[0], "Yes."), with_pauses(model, voices[0], 2)
    engine.add(speaking)
    engine.add(waiting)
    events: list[Event] = []
    while not waiting.over:
        events += step(engine)
    assert [event.utterance for event in events].index(waiting) > [
        type(event) for event in events if event.utterance is speaking
    ].index(SegmentSpoken)


def test_pause_does_not_overtake_speech_that_is_still_being_decoded(
    model: Model, voices: list[Voice], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = BlockedCodec(engine := Engine(model, 1), monkeypatch)
    segment = replace(model.segment(TEXTS[0]), max_frames=1)
    both = Utterance(voices[0], Sampling(0.3, None, -1.0, 1, 0))
    both.add(segment)
    both.add(Silence(1))
    both.end()
    engine.add(both)
    speech, _, pause, _, _ = step(engine)
    assert codec.begun.wait(30)
    assert isinstance(speech, FrameSpoken)
    assert isinstance(pause, FrameSpoken)
    assert not pause.audio.done()
    codec.may_continue.set()
    assert not pause.pcm.any()
    assert speech.audio.done()
    assert speech.pcm.any()


@pytest.mark.parametrize(("heads", "static"), [(True, False), (True, True), (False, False)])
def test_words_are_reported_with_the_frame_in_which_they_begin_and_end_in_their_segment(
    model: Model, voices: list[Voice], monkeypatch: pytest.MonkeyPatch, heads: bool, static: bool
) -> None:
    if not heads:
        monkeypatch.setattr(Model, "heads", None)
    if static:  # as on an accelerator
        monkeypatch.setattr("sayline_tts.engine.execution.model_runner.uses_static_shapes", lambda device: True)
    engine = Engine(model, 1)
    spoken = Utterance(voices[0], Sampling(0.3, None, -1.0, 1, 0))
    segments: list[Segment] = []
    for text in (TEXTS[3], TEXTS[1]):
        segments.append(model.segment(text, words=[Word(each, 0, 0, each) for each in text.split()]))
        spoken.add(segments[-1])
        spoken.add(Silence(3))
    spoken.end()
    engine.add(spoken)
    made_ms, times, bounds = 0.0, list[WordTime](), list[tuple[float, float]]()
    while not spoken.over:
        for event in step(engine):
            match event:
                case FrameSpoken(words=words):
                    for time in words(event.pcm):
                        reported_ms = time.start_ms if time.estimated or not time.final else time.end_ms
                        assert reported_ms >= made_ms - 1e-6
                        record(times, time)
                    made_ms += model.frame_ms
                case SegmentSpoken(start_ms=start_ms, end_ms=end_ms, words=words):
                    for time in words(None):
                        record(times, time)
                    bounds += [(start_ms, end_ms)] * (len(times) - len(bounds))
    assert [time.word for time in times] == [word for segment in segments for word in segment.words]
    assert all(start_ms <= time.start_ms <= time.end_ms <= end_ms + 1e-6
               for time, (start_ms, end_ms) in zip(times, bounds, strict=True))  # fmt: skip
    assert all(a.end_ms <= b.start_ms + 1e-6 for a, b in pairwise(times))
    assert all(time.final and time.estimated is not heads for time in times)
    assert not engine._words._estimators
    assert not engine._words._aligners


def record(times: list[WordTime], time: WordTime) -> None:
    """Append the next word, or replace the last one by its final time."""
    if times and times[-1].word is time.word:
        times.pop()
    times.append(time)


def test_heads_found_while_it_runs_time_the_words_of_later_texts(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "model.safetensors"  # without an alignment file beside it
    weights.symlink_to(model.checkpoint.weights)
    checkpoint = replace(model.checkpoint, weights=weights, calibrations=tmp_path / "calibrations")
    assert not checkpoint.calibrated
    engine = Engine(replace(model, checkpoint=checkpoint), 1)
    assert not engine.read_heads_again()
    sampling = Sampling(temperature=0.0, noise_clamp=None, eos_threshold=-1.0, decode_steps=1, seed=0)
    spoken = Utterance(model.load_voice("clara"), sampling)
    text, words = "It is late.", (Word("It", 0, 2, "It"), Word("is", 3, 5, "is"), Word("late.", 6, 11, "late."))
    engine.add(spoken)
    spoken.add(engine.model.segment(text, words=words))
    events = step(engine)
    write_heads(checkpoint.calibration_file, weights, model.heads, 0.9)
    monkeypatch.setattr("hashlib.file_digest", None)  # the weights are not read again: listeners would wait
    assert engine.read_heads_again()
    spoken.add(engine.model.segment(text, words=words))
    spoken.end()
    while spoken.status is not Status.FINISHED:
        events += step(engine)
    times: list[WordTime] = []
    for event in events:
        if isinstance(event, FrameSpoken):
            times += event.words(event.pcm)
        elif isinstance(event, SegmentSpoken):
            times += event.words(None)
    assert all(time.estimated for time in times[: len(words)])  # of the text that had begun
    assert not any(time.estimated for time in times[len(words) :])
    assert len(times) > 2 * len(words)
