"""engine/audio/time_stretch.py: other durations at the same pitch, whatever the pieces, without clicks and without late sound."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sayline_tts.engine.audio.time_stretch import HOP_MS, SEARCH_MS, Samples, Tempo
from sayline_tts.engine.engine import Engine
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.models.model import Model
from tests.engine.sounds import tone
from tests.engine.test_engine import speak, utterance

RATE_HZ = 24_000
SPEEDS = [0.5, 0.73, 0.95, 1.05, 1.3, 2.0]
FRAME = 1920


def vowel(hz: float, seconds: float = 1.0) -> Samples:
    """`[samples]` of a pulse with formants, that wavers as a voice does."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(hz * (1 + 0.01 * np.sin(2 * np.pi * 3 * time_s))) / RATE_HZ
    parts = np.arange(1, 30)[:, None]
    loudness = np.exp(-(((parts * hz - 600) / 400) ** 2)) + 0.3 * np.exp(-(((parts * hz - 1500) / 400) ** 2))
    return np.asarray(0.1 * (loudness * np.sin(parts * phase)).sum(0), np.float32)


def noise(samples: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


def paced(speed: float, pcm: Samples, piece: int = FRAME) -> Samples:
    tempo = Tempo(speed, RATE_HZ)
    parts = [tempo.feed(pcm[at : at + piece]) for at in range(0, len(pcm), piece)]
    return np.concatenate([*parts, tempo.end()])


def pitch_hz(pcm: Samples) -> float:
    """Median over 40 ms pieces in which the voice is clear, by autocorrelation, 60 to 400 Hz."""
    size, shortest, longest = 2400, RATE_HZ // 400, RATE_HZ // 60
    found = []
    for at in range(0, len(pcm) - size, 480):
        piece = pcm[at : at + size] - pcm[at : at + size].mean()
        likeness = np.correlate(piece, piece, "full")[size - 1 :]
        best = shortest + int(np.argmax(likeness[shortest:longest]))
        if likeness[0] > 1e-3 * size * np.square(pcm).max() and likeness[best] > 0.6 * likeness[0]:
            found.append(RATE_HZ / best)
    return float(np.median(found))


def spectrum(pcm: Samples) -> Samples:
    """Share of the amplitude in each third of an octave from 100 Hz to 6.4 kHz."""
    power = np.square(np.abs(np.fft.rfft(pcm)))
    hz = np.fft.rfftfreq(len(pcm), 1 / RATE_HZ)
    edges = 100 * 2 ** (np.arange(19) / 3)
    bands = [power[(hz >= low) & (hz < high)].sum() for low, high in pairwise(edges)]
    return np.asarray(np.sqrt(np.asarray(bands) / power.sum()), np.float32)


@pytest.fixture(scope="module")
def speech(model: Model) -> Samples:
    """Of the embedded voice."""
    spoken = utterance(model, model.load_voice("clara"), "One more thing before we go home tonight, my dear.")
    return np.asarray(speak(Engine(model, 1), spoken)[spoken], np.float32)


@given(st.integers(0, 9000), st.sampled_from(SPEEDS), st.lists(st.integers(0, 3000), max_size=8), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_comes_out_depends_on_what_came_in_and_not_on_its_pieces(
    samples: int, speed: float, cuts: list[int], periodic: bool
) -> None:
    pcm = tone(samples / RATE_HZ, hz=200.0) if periodic else noise(samples)
    whole, pieces = Tempo(speed, RATE_HZ), Tempo(speed, RATE_HZ)
    at_once = np.concatenate([whole.feed(pcm), whole.end()])
    by_and_by = np.concatenate([*(pieces.feed(part) for part in np.split(pcm, np.cumsum(cuts))), pieces.end()])
    np.testing.assert_array_equal(by_and_by, at_once)
    assert len(at_once) == round(len(pcm) / speed)
    assert at_once.dtype == np.float32
    assert np.abs(at_once).max(initial=0) <= np.abs(pcm).max(initial=0) + 1e-6


@pytest.mark.parametrize("speed", SPEEDS)
def test_it_waits_for_no_more_than_a_little(speed: float) -> None:
    tempo, pcm, laid = Tempo(speed, RATE_HZ), noise(RATE_HZ), 0
    for came in range(0, len(pcm), 24):
        laid += len(tempo.feed(pcm[came : came + 24]))
        assert came + 24 - laid * speed <= (SEARCH_MS + 1.5 * HOP_MS + 1) * RATE_HZ / 1000


def test_at_speed_1_it_gives_what_it_gets() -> None:
    tempo, pcm = Tempo(1.0, RATE_HZ), noise(5000)
    assert tempo.feed(pcm) is pcm
    assert len(tempo.end()) == 0


@pytest.mark.parametrize("speed", [0.49, 2.01, 0.0, float("nan"), float("inf")])
def test_other_speeds_are_refused_with_advice(speed: float) -> None:
    with pytest.raises(InputError, match=r"give 0\.5 to 2"):
        Tempo(speed, RATE_HZ)


@pytest.mark.parametrize("speed", SPEEDS)
def test_silence_stays_silence_and_a_pause_keeps_its_place(speed: float) -> None:
    assert not paced(speed, np.zeros(RATE_HZ, np.float32)).any()
    pause, blur = RATE_HZ // 2, round(0.035 * RATE_HZ)
    heard = paced(speed, np.concatenate([vowel(120, 0.5), np.zeros(pause, np.float32), vowel(120, 0.5)]))
    begin, end = round(pause / speed) + blur, round(2 * pause / speed) - blur
    assert not heard[begin:end].any()
    assert np.abs(heard[: begin - 2 * blur]).max() > 0.1
    assert np.abs(heard[end + 2 * blur :]).max() > 0.1


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("hz", [85.0, 120.0, 230.0])
def test_a_vowel_keeps_its_pitch_its_colour_and_its_level(speed: float, hz: float) -> None:
    said = vowel(hz)
    heard = paced(speed, said)
    assert pitch_hz(heard) == pytest.approx(pitch_hz(said), rel=0.01)
    np.testing.assert_allclose(spectrum(heard), spectrum(said), atol=0.1)
    assert np.square(heard).mean() == pytest.approx(np.square(said).mean(), rel=0.06)


@pytest.mark.parametrize("speed", SPEEDS)
def test_speech_keeps_its_pitch_and_its_colour(speed: float, speech: Samples) -> None:
    heard = paced(speed, speech)
    assert pitch_hz(heard) == pytest.approx(pitch_hz(speech), rel=0.03)
    np.testing.assert_allclose(spectrum(heard), spectrum(speech), atol=0.05)


@pytest.mark.parametrize("speed", SPEEDS)
def test_there_is_no_click_where_windows_meet_nor_where_pieces_do(speed: float, speech: Samples) -> None:
    for said in (tone(hz=150.0), vowel(150), speech):
        heard = paced(speed, said)
        assert np.abs(np.diff(heard)).max() <= 1.15 * np.abs(np.diff(said)).max()
    smooth = tone(hz=150.0)
    bends = np.abs(np.diff(paced(speed, smooth)[: -RATE_HZ // 20], 2))
    assert bends.max() <= 3 * np.abs(np.diff(smooth, 2)).max()


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_sound_that_breaks_off_breaks_off_once_and_one_that_begins_begins_at_once(speed: float) -> None:
    said = tone(0.3333, hz=150.0) + np.float32(0.5)
    heard = paced(speed, said)
    assert heard[0] == said[0]
    assert np.abs(np.diff(heard)).max() <= 1.5 * np.abs(np.diff(said)).max()
    assert heard.min() > 0.15, "nothing missing is filled up with zeros"


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 48_000])
def test_any_sample_rate_will_do(rate_hz: int) -> None:
    tempo, said = Tempo(1.5, rate_hz), tone(1.0, rate_hz, hz=200.0)
    heard = np.concatenate([tempo.feed(said), tempo.end()])
    assert len(heard) == round(rate_hz / 1.5)
    loudest = np.argmax(np.abs(np.fft.rfft(heard))) * rate_hz / len(heard)
    assert loudest == pytest.approx(200, abs=2)


def test_a_word_is_heard_when_it_should_be() -> None:
    """A sound at 1 s begins at 1 s divided by the speed, to a window and the search."""
    for speed in SPEEDS:
        heard = paced(speed, np.concatenate([np.zeros(RATE_HZ, np.float32), tone(0.5)]))
        begins_s = np.flatnonzero(np.abs(heard) > 0.05)[0] / RATE_HZ
        assert begins_s == pytest.approx(1 / speed, abs=0.025)
