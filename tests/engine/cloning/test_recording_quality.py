"""Each defect is put into a good recording on purpose, and is named; nothing else is."""

import re

import numpy as np
import pytest
from scipy.signal import resample_poly

from sayline_tts.engine.audio.audio_file import decode_file
from sayline_tts.engine.cloning.cloning import hear
from sayline_tts.engine.cloning.recording_quality import CHECKS, Recording, Samples, advise, trim_silence
from tests.engine.sounds import encode, tone, wav

RATE_HZ = 24_000


def good(seconds: float = 8.0, rate_hz: int = RATE_HZ, seed: int = 0) -> Samples:
    """As speech is: syllables, pauses between phrases, less of the high than of the low, a quiet room."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate_hz)
    spectrum = np.fft.rfft(rng.normal(size=count))
    hz = np.fft.rfftfreq(count, 1 / rate_hz)
    voice = np.fft.irfft(spectrum / np.maximum(hz, 200.0), count)
    at_s = np.arange(count) / rate_hz
    syllables = np.sin(2 * np.pi * 2 * at_s) ** 2 * (at_s % 2 < 1.6)
    sound = voice / np.abs(voice).max() * syllables * 0.7
    return np.asarray(sound + rng.normal(size=count) * 1e-4, np.float32)


def advised(samples: Samples, rate_hz: int = RATE_HZ) -> dict[str, str]:
    channels = np.atleast_2d(samples).astype(np.float32)
    speech, cut_s = trim_silence(channels.mean(axis=0), rate_hz)
    return {each.code: each.message for each in advise(Recording(channels, speech, rate_hz, cut_s))}


def silence(seconds: float, level: float = 1e-4) -> Samples:
    noise = np.random.default_rng(1).normal(size=round(seconds * RATE_HZ))
    return np.asarray(noise * level, np.float32)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_said_of_a_good_recording(rate_hz: int, seed: int) -> None:
    assert advised(good(rate_hz=rate_hz, seed=seed), rate_hz) == {}


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz"), [("libopus", "webm", 48_000), ("libmp3lame", "mp3", 24_000)]
)
def test_nothing_is_said_of_a_lossy_codec(codec: str, container: str, rate_hz: int) -> None:
    assert advise(hear(encode(good(rate_hz=rate_hz), codec, container, rate_hz), "me")) == ()


def test_too_short() -> None:
    told = advised(good(2.0))
    assert told.keys() == {"too_short"}
    assert "only 1." in told["too_short"]


def test_too_long() -> None:
    told = advise(hear(wav(good(40)), "me"))
    assert [each.code for each in told] == ["too_long"]
    assert "first 30 s" in told[0].message


def test_silence_around_the_speech_is_cut_and_told() -> None:
    told = advised(np.concatenate([silence(3), good(), silence(2)]))
    assert told.keys() == {"silence_trimmed"}
    assert "5.0 s of silence" in told["silence_trimmed"]  # 4.6 put in, the pause at the end, and 0.4 kept


def test_a_short_breath_before_the_speech_is_not_worth_telling() -> None:
    assert advised(np.concatenate([silence(0.3), good()])) == {}


def test_cutting_silence_takes_nothing_of_the_speech() -> None:
    loud = tone(1.0)
    speech, cut_s = trim_silence(np.concatenate([silence(2), loud, silence(1)]), RATE_HZ)
    assert cut_s == pytest.approx(2.6, abs=0.03)
    assert len(speech) == len(loud) + round(0.4 * RATE_HZ)
    assert np.array_equal(speech[round(0.2 * RATE_HZ) :][: len(loud)], loud)


def test_a_recording_without_silence_is_left_as_it_is() -> None:
    speech, cut_s = trim_silence(tone(2.0), RATE_HZ)
    assert (len(speech), cut_s) == (2 * RATE_HZ, 0)


@pytest.mark.parametrize("factor", [0.005, 0.01])
def test_too_quiet(factor: float) -> None:
    told = advised(np.asarray(good() * factor + silence(8, 1e-6), np.float32))
    assert "too_quiet" in told
    assert "noisy" not in told


@pytest.mark.parametrize("gain", [3.0, 6.0, 20.0])
@pytest.mark.parametrize("later", [1.0, 0.3], ids=["as it was", "turned down afterwards"])
def test_clipped(gain: float, later: float) -> None:
    assert advised(np.asarray(np.clip(gain * good(), -1, 1) * later, np.float32)).keys() == {"clipped"}


def test_clipped_to_16_bits() -> None:
    assert "clipped" in {each.code for each in advise(hear(wav(4 * good()), "me"))}


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz"), [("libopus", "webm", 48_000), ("libmp3lame", "mp3", 24_000)]
)
def test_clipped_before_a_lossy_codec(codec: str, container: str, rate_hz: int) -> None:
    data = encode(np.clip(6 * good(rate_hz=rate_hz), -1, 1), codec, container, rate_hz)
    assert "clipped" in {each.code for each in advise(hear(data, "me"))}


def test_one_clipped_channel_of_two_is_enough() -> None:
    assert "clipped" in advised(np.stack([good() / 2, np.clip(5 * good(), -1, 1)]))


def test_one_channel_may_be_silent() -> None:
    assert advised(np.stack([good(), np.zeros_like(good())])) == {}


@pytest.mark.parametrize("hz", [100, 200, 440])
def test_a_low_clear_tone_is_not_clipped(hz: float) -> None:
    assert "clipped" not in advised(tone(8, hz=hz, peak=0.9))


@pytest.mark.parametrize("level", [0.02, 0.05])
def test_noisy(level: float) -> None:
    told = advised(np.asarray(good() + silence(8, level), np.float32))
    assert told.keys() == {"noisy"}
    assert "dB quieter" in told["noisy"]


def test_pauses_that_a_program_emptied_tell_nothing_of_noise() -> None:
    sound = good()
    sound[np.abs(sound) < 0.003] = 0
    assert "noisy" not in advised(sound)


@pytest.mark.parametrize("at", [RATE_HZ, RATE_HZ + 7])
def test_a_click_in_digital_silence_is_no_noise(at: int) -> None:
    sound = np.zeros(8 * RATE_HZ, np.float32)
    sound[at] = 0.5
    assert "noisy" not in advised(sound)


@pytest.mark.parametrize("rate_hz", [24_000, 48_000])
def test_a_telephone_is_heard_at_any_rate(rate_hz: int) -> None:
    narrow = np.asarray(resample_poly(good(rate_hz=8_000), rate_hz // 8_000, 1), np.float32)
    told = advised(narrow, rate_hz)
    assert told.keys() == {"low_bandwidth"}
    assert re.search(r"above 4\.[0-5] kHz", told["low_bandwidth"])


@pytest.mark.parametrize("rate_hz", [8_000, 11_025])
def test_low_rates_are_low_bandwidth(rate_hz: int) -> None:
    assert advised(good(rate_hz=rate_hz), rate_hz).keys() == {"low_bandwidth"}


def test_a_telephones_own_codec() -> None:
    data = encode(good(rate_hz=8_000), "pcm_mulaw", "wav", 8_000)
    assert decode_file(data, "me", 30).rate_hz == 8_000
    assert [each.code for each in advise(hear(data, "me"))] == ["low_bandwidth"]


def test_several_defects_are_all_told_in_one_order() -> None:
    bad = np.clip(20 * np.asarray(resample_poly(good(3, 8_000), 3, 1)), -1, 1)
    sound = np.concatenate([silence(2), np.asarray(bad, np.float32)])
    told = list(advised(sound))
    assert {"too_short", "silence_trimmed", "clipped"} <= set(told)
    assert told == [code for code in CHECKS if code in told]


def test_every_message_is_a_sentence_for_people() -> None:
    sounds = [good(1), np.clip(9 * good(), -1, 1), good() + silence(8, 0.05), good(rate_hz=8_000)]
    for sound in sounds:
        for message in advised(np.asarray(sound, np.float32)).values():
            assert message[0].isupper()
            assert message.endswith(".")
