"""The Python API with the embedded model."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from sayline_tts.engine.errors import InputError, TextError, UnknownVoice, VoiceError
from sayline_tts.engine.execution.model_runner import BatchOutput
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.tts_model import TTSModel, VoiceState, export_model_state
from tests.engine.reference import some_audio


@pytest.fixture(scope="module")
def tts() -> TTSModel:
    return TTSModel.load_model("embedded", precision="float32")


@pytest.fixture(scope="module")
def state(tts: TTSModel) -> VoiceState:
    return tts.get_state_for_voice("clara")


def test_model_describes_itself(tts: TTSModel) -> None:
    assert tts.sample_rate == 24000
    assert tts.device == torch.device("cpu")
    assert tts.default_voice in tts.voices
    assert "comes with Sayline" in tts.reason


def test_concatenated_stream_equals_generate_audio(tts: TTSModel, state: VoiceState) -> None:
    frames = list(tts.generate_audio_stream(state, "Hello there. This is one. And another one.", seed=4))
    assert {frame.shape for frame in frames} == {(1920,)}
    whole = tts.generate_audio(state, "Hello there. This is one. And another one.", seed=4)
    torch.testing.assert_close(torch.cat(frames), whole)
    assert whole.abs().max() > 0.01


def test_first_frame_is_yielded_before_the_second_is_made(tts: TTSModel, state: VoiceState) -> None:
    stream = tts.generate_audio_stream(state, "Hello there, this is a longer sentence than the others.")
    next(stream)
    (utterance,) = tts._jobs
    assert utterance.buffer.produced_frames == 1
    stream.close()  # type: ignore[attr-defined]


def test_closing_the_iterator_frees_its_slot(tts: TTSModel, state: VoiceState) -> None:
    stream = tts.generate_audio_stream(state, "Hello there, this is a longer sentence than the others.")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert not tts._jobs
    assert not tts._engine._scheduler.running


def test_concurrent_threads_get_the_same_audio_as_alone(tts: TTSModel) -> None:
    cases = [("clara", "Hello there.", 1), ("adam", "What a fine day it is.", 2), ("ross", "Yes. No. Perhaps.", 3)]

    def speak(case: tuple[str, str, int]) -> torch.Tensor:
        voice, text, seed = case
        return tts.generate_audio(tts.get_state_for_voice(voice), text, seed=seed)

    alone = [speak(case) for case in cases]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(speak, cases * 2))
    for index, audio in enumerate(together):
        torch.testing.assert_close(audio, alone[index % len(cases)], atol=2e-4, rtol=0)


@pytest.mark.slow
def test_slow_consumer_does_not_delay_a_fast_one(tts: TTSModel, state: VoiceState) -> None:
    slow = tts.generate_audio_stream(state, "Hello there, this is a rather long sentence for a slow consumer.")
    next(slow)
    (slow_utterance,) = tts._jobs
    tts.generate_audio(state, "This is said meanwhile, from beginning to end, by somebody else. " * 3)
    assert slow_utterance.lead_ms <= 2000, "bounded, however many steps others need"
    assert len(list(slow)) > 10


def test_failed_step_is_raised_and_the_next_text_is_spoken(
    tts: TTSModel, state: VoiceState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(batch: Any) -> None:
        raise MemoryError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(tts._engine, "run", broken)
        with pytest.raises(MemoryError, match="no more"):
            tts.generate_audio(state, "Hello.")
    assert not tts._jobs
    assert tts.generate_audio(state, "Hello.").numel() > 0


def test_failed_decoding_is_raised_and_the_next_text_is_spoken(
    tts: TTSModel, state: VoiceState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise MemoryError("no more")

    whole = tts.generate_audio(state, "Hello.", seed=1)
    with monkeypatch.context() as patched:
        patched.setattr(tts._engine._runner.decode_queue._decoders[0], "decode", broken)
        with pytest.raises(MemoryError, match="no more"):
            tts.generate_audio(state, "Hello there.")
    assert not tts._jobs
    torch.testing.assert_close(tts.generate_audio(state, "Hello.", seed=1), whole)


def test_next_latent_is_made_while_a_frame_is_decoded(
    tts: TTSModel, state: VoiceState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoding of the second frame blocks until the third step has started."""
    run, decoder = tts._engine.run, tts._engine._runner.decode_queue._decoders[0]
    decode = decoder.decode
    steps, third = [0], threading.Event()

    def counted(batch: Batch) -> BatchOutput:
        steps[0] += 1
        if steps[0] == 3:
            third.set()
        return run(batch)

    def blocking(*args: Any) -> Any:
        assert steps[0] < 2 or third.wait(30), "no step was made meanwhile"
        return decode(*args)

    monkeypatch.setattr(tts._engine, "run", counted)
    monkeypatch.setattr(decoder, "decode", blocking)
    assert len(list(tts.generate_audio_stream(state, "Hello there."))) > 3


def test_copy_state_false_continues_from_what_was_spoken(tts: TTSModel) -> None:
    state = tts.get_state_for_voice("clara")
    before = state.voice
    tts.generate_audio(state, "Hello.")
    assert state.voice is before
    tts.generate_audio(state, "Hello.", copy_state=False)
    assert state.voice.positions > before.positions
    assert tts.generate_audio(state, "And on.").numel() > 0


@pytest.mark.parametrize("text", ["", "  \n\t ", "\x00\x01", "\ud800", "🎉🎊", "\u200b"])
def test_text_without_words_is_rejected_at_once(tts: TTSModel, state: VoiceState, text: str) -> None:
    with pytest.raises(TextError, match=r"empty|blank|nothing"):
        tts.generate_audio_stream(state, text)


def test_unspeakable_characters_are_left_out(tts: TTSModel, state: VoiceState) -> None:
    clean = tts.generate_audio(state, "Hello there.", seed=1)
    torch.testing.assert_close(tts.generate_audio(state, "Hello\x07 there.\ud800 🎉", seed=1), clean)


def test_exported_voice_equals_the_voice_from_samples(tts: TTSModel, tmp_path: Path) -> None:
    audio = some_audio(1.5)
    from_samples = tts.get_state_for_audio_prompt(audio)
    export_model_state(from_samples, tmp_path / "mine.safetensors")
    from_file = tts.get_state_for_audio_prompt(tmp_path / "mine.safetensors")
    first = tts.generate_audio(from_samples, "Yes.", seed=0)
    torch.testing.assert_close(tts.generate_audio(from_file, "Yes.", seed=0), first)


def test_unknown_voice_error_lists_the_voices(tts: TTSModel) -> None:
    for get_state in (tts.get_state_for_voice, tts.get_state_for_audio_prompt):
        with pytest.raises(UnknownVoice, match=r"clara"):
            get_state("nobody")


def test_voice_from_unusable_samples_is_rejected(tts: TTSModel) -> None:
    for bad in (torch.zeros(1, 48000), torch.full((1, 48000), torch.nan), torch.zeros(0), torch.rand(8, 48000)):
        with pytest.raises(VoiceError):
            tts.get_state_for_audio_prompt(bad)


def test_long_voice_recording_is_rejected_or_truncated(tts: TTSModel) -> None:
    long = some_audio(31.0)
    with pytest.raises(VoiceError, match="truncate"):
        tts.get_state_for_audio_prompt(long)
    assert tts.get_state_for_audio_prompt(long, truncate=True).voice.positions <= 377


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temp": -1.0}, "temp"),
        ({"temp": float("nan")}, "temp"),
        ({"lsd_decode_steps": 0}, "lsd_decode_steps"),
        ({"noise_clamp": 0.0}, "noise_clamp"),
        ({"variant": "englich"}, "english"),
        ({"device": "abacus"}, "cpu"),
        ({"precision": "float8"}, "bfloat16"),
        ({"config": "/nowhere/config.yaml"}, "nowhere"),
    ],
)
def test_invalid_options_are_rejected_with_a_hint(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TTSModel.load_model(**{"variant": "embedded"} | options if "config" not in options else options)


def test_decode_steps_and_clamp_change_the_speech(model: Model) -> None:
    def speak(**options: Any) -> torch.Tensor:
        defaults: dict[str, Any] = {"temp": 0.3, "lsd_decode_steps": 1, "noise_clamp": None, "eos_threshold": 1e9}
        tts = TTSModel(model, **defaults | options)
        return tts.generate_audio(tts.get_state_for_voice("clara"), "Yes.", seed=0)

    plain = speak()
    for other in (speak(lsd_decode_steps=3), speak(noise_clamp=0.1), speak(temp=0.0)):
        assert other.shape == plain.shape
        assert (other - plain).abs().max() > 1e-3
