"""Time stretching: same pitch, no clicks, bounded latency, independent of how the input is split."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.audio.time_stretch import HOP_MS, SEARCH_MS, Samples, TimeStretcher
from sayline_tts.engine.engine import Engine
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.models.model import Model
from tests.engine.sounds import tone
from tests.engine.test_engine import speak, utterance

RATE_HZ = 24_000
SPEEDS = [0.5, 0.73, 0.95, 1.05, 1.3, 2.0]
FRAME = 1920


def vowel(hz: float, seconds: float = 1.0) -> Samples:
    """`[samples]` of a pulse train with formants and vibrato."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(hz * (1 + 0.01 * np.sin(2 * np.pi * 3 * time_s))) / RATE_HZ
    parts = np.arange(1, 30)[:, None]
    loudness = np.exp(-(((parts * hz - 600) / 400) ** 2)) + 0.3 * np.exp(-(((parts * hz - 1500) / 400) ** 2))
    return np.asarray(0.1 * (loudness * np.sin(parts * phase)).sum(0), np.float32)


def noise(samples: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def stretched(speed: float, pcm: Samples, piece: int = FRAME) -> Samples:
    stretcher = TimeStretcher(speed, RATE_HZ)
    parts = [stretcher.feed(pcm[at : at + piece]) for at in range(0, len(pcm), piece)]
    return np.concatenate([*parts, stretcher.end()])


def pitch_hz(pcm: Samples) -> float:
    """Median pitch of the clearly voiced windows, by autocorrelation, 60 to 400 Hz."""
    size, shortest, longest = 2400, RATE_HZ // 400, RATE_HZ // 60
    found = []
    for at in range(0, len(pcm) - size, 480):
        piece = pcm[at : at + size] - pcm[at : at + size].mean()
        correlation = np.correlate(piece, piece, "full")[size - 1 :]
        best = shortest + int(np.argmax(correlation[shortest:longest]))
        if correlation[0] > 1e-3 * size * np.square(pcm).max() and correlation[best] > 0.6 * correlation[0]:
            found.append(RATE_HZ / best)
    return float(np.median(found))


def spectrum(pcm: Samples) -> Samples:
    """Relative amplitude in each third of an octave from 100 Hz to 6.4 kHz."""
    power = np.square(np.abs(np.fft.rfft(pcm)))
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE_HZ)
    edges = 100 * 2 ** (np.arange(19) / 3)
    bands = [power[(hz >= low) & (hz < high)].sum() for low, high in pairwise(edges)]
    return np.asarray(np.sqrt(np.asarray(bands) / power.sum()), np.float32)


@pytest.fixture(scope="module")
def speech(model: Model) -> Samples:
    """A sentence spoken by the embedded voice."""
    sentence = utterance(model, model.load_voice("clara"), "One more thing before we go home tonight, my dear.")
    return np.asarray(speak(Engine(model, 1), sentence)[sentence], np.float32)


@given(st.integers(0, 9000), st.sampled_from(SPEEDS), st.lists(st.integers(0, 3000), max_size=8), st.booleans())
@settings(max_examples=150, deadline=None)
def test_output_does_not_depend_on_how_the_input_is_split(
    samples: int, speed: float, cuts: list[int], periodic: bool
) -> None:
    pcm = tone(samples / RATE_HZ, hz=200.0) if periodic else noise(samples)
    whole, pieces = TimeStretcher(speed, RATE_HZ), TimeStretcher(speed, RATE_HZ)
    at_once = np.concatenate([whole.feed(pcm), whole.end()])
    in_pieces = np.concatenate([*(pieces.feed(part) for part in np.split(pcm, np.cumsum(cuts))), pieces.end()])
    np.testing.assert_array_equal(in_pieces, at_once)
    assert len(at_once) == round(len(pcm) / speed)
    assert at_once.dtype == np.float32
    assert np.abs(at_once).max(initial=0) <= np.abs(pcm).max(initial=0) + 1e-6


@pytest.mark.parametrize("speed", SPEEDS)
def test_latency_is_bounded(speed: float) -> None:
    stretcher, pcm, samples_out = TimeStretcher(speed, RATE_HZ), noise(RATE_HZ), 0
    for consumed in range(0, len(pcm), 24):
        samples_out += len(stretcher.feed(pcm[consumed : consumed + 24]))
        assert consumed + 24 - samples_out * speed <= (SEARCH_MS + 1.5 * HOP_MS + 1) * RATE_HZ / 1000


def test_speed_1_returns_the_input() -> None:
    stretcher, pcm = TimeStretcher(1.0, RATE_HZ), noise(5000)
    assert stretcher.feed(pcm) is pcm
    assert len(stretcher.end()) == 0


@pytest.mark.parametrize("speed", [0.49, 2.01, 0.0, float("nan"), float("inf")])
def test_invalid_speed_is_rejected(speed: float) -> None:
    with pytest.raises(InputError, match=r"give 0\.5 to 2"):
        TimeStretcher(speed, RATE_HZ)


@pytest.mark.parametrize("speed", SPEEDS)
def test_silence_is_preserved(speed: float) -> None:
    assert not stretched(speed, np.zeros(RATE_HZ, np.float32)).any()
    pause, blur = RATE_HZ // 2, round(0.035 * RATE_HZ)
    stretched_pcm = stretched(speed, np.concatenate([vowel(120, 0.5), np.zeros(pause, np.float32), vowel(120, 0.5)]))
    begin, end = round(pause / speed) + blur, round(2 * pause / speed) - blur
    assert not stretched_pcm[begin:end].any()
    assert np.abs(stretched_pcm[: begin - 2 * blur]).max() > 0.1
    assert np.abs(stretched_pcm[end + 2 * blur :]).max() > 0.1


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("hz", [85.0, 120.0, 230.0])
def test_vowel_keeps_pitch_spectrum_and_level(speed: float, hz: float) -> None:
    original = vowel(hz)
    stretched_pcm = stretched(speed, original)
    assert pitch_hz(stretched_pcm) == pytest.approx(pitch_hz(original), rel=0.01)
    np.testing.assert_allclose(spectrum(stretched_pcm), spectrum(original), atol=0.1)
    assert np.square(stretched_pcm).mean() == pytest.approx(np.square(original).mean(), rel=0.06)


@pytest.mark.parametrize("speed", SPEEDS)
def test_speech_keeps_pitch_and_spectrum(speed: float, speech: Samples) -> None:
    stretched_pcm = stretched(speed, speech)
    assert pitch_hz(stretched_pcm) == pytest.approx(pitch_hz(speech), rel=0.03)
    np.testing.assert_allclose(spectrum(stretched_pcm), spectrum(speech), atol=0.05)


@pytest.mark.parametrize("speed", SPEEDS)
def test_no_click_at_window_or_chunk_boundaries(speed: float, speech: Samples) -> None:
    for original in (tone(hz=150.0), vowel(150), speech):
        stretched_pcm = stretched(speed, original)
        assert np.abs(np.diff(stretched_pcm)).max() <= 1.15 * np.abs(np.diff(original)).max()
    smooth = tone(hz=150.0)
    bends = np.abs(np.diff(stretched(speed, smooth)[: -RATE_HZ // 20], 2))
    assert bends.max() <= 3 * np.abs(np.diff(smooth, 2)).max()


@pytest.mark.parametrize("speed", SPEEDS)
def test_abrupt_start_and_end_are_preserved(speed: float) -> None:
    original = tone(0.3333, hz=150.0) + np.float32(0.5)
    stretched_pcm = stretched(speed, original)
    assert stretched_pcm[0] == original[0]
    assert np.abs(np.diff(stretched_pcm)).max() <= 1.5 * np.abs(np.diff(original)).max()
    assert stretched_pcm.min() > 0.15, "missing input must not be filled with zeros"


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 48_000])
def test_any_sample_rate_is_supported(rate_hz: int) -> None:
    stretcher, original = TimeStretcher(1.5, rate_hz), tone(1.0, rate_hz, hz=200.0)
    stretched_pcm = np.concatenate([stretcher.feed(original), stretcher.end()])
    assert len(stretched_pcm) == round(rate_hz / 1.5)
    loudest = np.argmax(np.abs(np.fft.rfft(stretched_pcm))) * rate_hz / len(stretched_pcm)
    assert loudest == pytest.approx(200, abs=2)


def test_onset_is_scaled_by_the_speed() -> None:
    """A sound at 1 s begins at 1 s divided by the speed, within a window and the search range."""
    for speed in SPEEDS:
        stretched_pcm = stretched(speed, np.concatenate([np.zeros(RATE_HZ, np.float32), tone(0.5)]))
        begins_s = np.flatnonzero(np.abs(stretched_pcm) > 0.05)[0] / RATE_HZ
        assert begins_s == pytest.approx(1 / speed, abs=0.025)
