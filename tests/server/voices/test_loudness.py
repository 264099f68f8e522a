"""The loudness of voices, and the gain to a target."""

import logging
from typing import cast

import numpy as np
import pytest
import torch

from sayline_tts.engine.audio.loudness import integrated_loudness
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.tts_model import TTSModel, VoiceState
from sayline_tts.server.voices import loudness
from sayline_tts.server.voices.loudness import MAX_GAIN_DB, VoiceLoudness
from tests.engine.sounds import speech

VOICE = Voice(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
TEXT = "The train to the coast leaves at noon. We had bread and cheese for lunch, and then we walked along the river."


class Model24kHz:
    """The parts of a model that are asked for."""

    sample_rate_hz = 24_000

    class checkpoint:
        name = "german_24l"

    class config:
        default_temperature, default_eos_threshold = 0.5, 0.0


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was spoken for the measurement, at `Speaker.level` of full scale."""
    spoken: list[str] = []

    class Speaker:
        level = 0.2

        def __init__(self, *arguments: object) -> None:
            pass

        def generate_audio(self, state: VoiceState, text: str, seed: int) -> torch.Tensor:
            spoken.append(text)
            return torch.from_numpy(speech() * Speaker.level)

    monkeypatch.setattr(loudness, "TTSModel", Speaker)
    return spoken


def measured(target_lufs: float | None) -> VoiceLoudness:
    voices = VoiceLoudness(cast(Model, Model24kHz()), target_lufs)
    voices.measure(VOICE)
    voices.measure(VOICE)
    return voices


def test_gain_leads_to_the_target(texts: list[str]) -> None:
    gain = measured(-30.0).gain(VOICE)
    assert integrated_loudness(speech() * 0.2 * gain, 24_000) == pytest.approx(-30, abs=0.01)
    assert texts == [loudness.TEXTS["de"]]


def test_gain_is_limited(texts: list[str]) -> None:
    loudness.TTSModel.level = 0.004  # type: ignore[attr-defined]
    assert measured(-10.0).gain(VOICE) == pytest.approx(10 ** (MAX_GAIN_DB / 20))


def test_silent_voice_is_left_as_it_is(texts: list[str], caplog: pytest.LogCaptureFixture) -> None:
    loudness.TTSModel.level = 0.0  # type: ignore[attr-defined]
    with caplog.at_level(logging.WARNING):
        assert measured(-16.0).gain(VOICE) == 1
    assert "silent" in caplog.text


def test_without_a_target_nothing_is_measured(texts: list[str]) -> None:
    assert measured(None).gain(VOICE) == 1
    assert texts == []


@pytest.mark.slow
def test_voices_of_the_embedded_model_are_within_1_lu(model: Model) -> None:
    config = model.config
    speaker = TTSModel(model, config.default_temperature, 1, None, config.default_eos_threshold)
    own, levelled = list[float](), list[float]()
    voices = VoiceLoudness(model, -20.0)
    for name in speaker.voices:
        state = speaker.get_state_for_voice(name)
        voices.measure(state.voice)
        sounds = [speaker.generate_audio(state, text, seed=2).numpy() for text in (loudness.TEXTS["en"], TEXT)]
        own.append(integrated_loudness(np.concatenate(sounds), speaker.sample_rate))
        levelled.append(own[-1] + 20 * np.log10(voices.gain(state.voice)))
    assert max(own) - min(own) < 1
    assert levelled == pytest.approx([-20.0] * len(own), abs=1)
