"""Each defect, added to a good recording, is reported, and nothing else is."""

import re

import numpy as np
import pytest
from scipy.signal import resample_poly

from sayline_tts.engine.audio.audio_file import decode_file
from sayline_tts.engine.cloning.cloning import read_recording
from sayline_tts.engine.cloning.recording_quality import CHECKS, Recording, Samples, find_issues, find_speech
from tests.engine.sounds import encode, tone, wav

RATE_HZ = 24_000


def good(seconds: float = 8.0, rate_hz: int = RATE_HZ, seed: int = 0) -> Samples:
    """A synthetic good recording: syllables, pauses between phrases, falling spectrum, little room noise."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate_hz)
    spectrum = np.fft.rfft(rng.normal(size=count))
    hz = np.fft.rfftfreq(count, 1 / rate_hz)
    voice = np.fft.irfft(spectrum / np.maximum(hz, 200.0), count)
    at_s = np.arange(count) / rate_hz
    syllables = np.sin(2 * np.pi * 2 * at_s) ** 2 * (at_s % 2 < 1.6)
    sound = voice / np.abs(voice).max() * syllables * 0.7
    return np.asarray(sound + rng.normal(size=count) * 1e-4, np.float32)


def issues_of(samples: Samples, rate_hz: int = RATE_HZ) -> dict[str, str]:
    channels = np.atleast_2d(samples).astype(np.float32)
    mono = channels.mean(axis=0)
    start, end = find_speech(mono, rate_hz)
    recording = Recording(channels, mono[start:end], rate_hz, start, (0, end - start))
    return {each.code: each.message for each in find_issues(recording)}


def silence(seconds: float, level: float = 1e-4) -> Samples:
    noise = np.random.default_rng(1).normal(size=round(seconds * RATE_HZ))
    return np.asarray(noise * level, np.float32)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("seed", range(3))
def test_good_recording_has_no_issues(rate_hz: int, seed: int) -> None:
    assert issues_of(good(rate_hz=rate_hz, seed=seed), rate_hz) == {}


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz"), [("libopus", "webm", 48_000), ("libmp3lame", "mp3", 24_000)]
)
def test_lossy_codec_is_no_issue(codec: str, container: str, rate_hz: int) -> None:
    assert find_issues(read_recording(encode(good(rate_hz=rate_hz), codec, container, rate_hz), "me")) == ()


def test_too_short() -> None:
    issues = issues_of(good(2.0))
    assert issues.keys() == {"too_short"}
    assert "only 1." in issues["too_short"]


def test_too_long() -> None:
    issues = find_issues(read_recording(wav(good(40)), "me"))
    assert [each.code for each in issues] == ["too_long"]
    assert "first 30 s" in issues[0].message


def test_excerpt_is_reported_in_the_time_of_the_recording() -> None:
    recording = read_recording(wav(np.concatenate([silence(2), good(20)])), "me", max_prompt_s=4.0)
    issues = {each.code: each.message for each in find_issues(recording)}
    assert issues.keys() == {"excerpt_used", "silence_trimmed"}
    start_s, end_s = map(float, re.findall(r"(\d+\.\d) to (\d+\.\d) s of this one", issues["excerpt_used"])[0])
    assert start_s >= 1.9
    assert 3 <= end_s - start_s <= 4
    assert len(recording.excerpt) / RATE_HZ == pytest.approx(end_s - start_s, abs=0.1)
    assert "can only use 4 s" in issues["excerpt_used"]


@pytest.mark.parametrize(("seconds", "codes"), [(2.0, {"too_short"}), (3.5, set())])
def test_as_much_speech_as_the_model_can_take_is_enough(seconds: float, codes: set[str]) -> None:
    recording = read_recording(wav(good(seconds)), "me", max_prompt_s=3.0)
    issues = {each.code: each.message for each in find_issues(recording)}
    assert issues.keys() - {"excerpt_used"} == codes
    assert all("; 3 s make the clone" in issues[code] for code in codes)


def test_trimmed_silence_is_reported() -> None:
    issues = issues_of(np.concatenate([silence(3), good(), silence(2)]))
    assert issues.keys() == {"silence_trimmed"}
    assert (
        "5.0 s of silence" in issues["silence_trimmed"]
    )  # 5 s added, plus the pause at the end, minus the margin of 0.4 s


def test_short_silence_is_not_reported() -> None:
    assert issues_of(np.concatenate([silence(0.3), good()])) == {}


def test_trimming_keeps_the_speech() -> None:
    start, end = find_speech(np.concatenate([silence(2), tone(1.0), silence(1)]), RATE_HZ)
    assert (start, end) == (round(1.8 * RATE_HZ), round(3.2 * RATE_HZ))


def test_recording_without_silence_is_unchanged() -> None:
    assert find_speech(tone(2.0), RATE_HZ) == (0, 2 * RATE_HZ)


@pytest.mark.parametrize("factor", [0.005, 0.01])
def test_too_quiet(factor: float) -> None:
    issues = issues_of(np.asarray(good() * factor + silence(8, 1e-6), np.float32))
    assert "too_quiet" in issues
    assert "noisy" not in issues


@pytest.mark.parametrize("gain", [3.0, 6.0, 20.0])
@pytest.mark.parametrize("later", [1.0, 0.3], ids=["as it was", "turned down afterwards"])
def test_clipped(gain: float, later: float) -> None:
    assert issues_of(np.asarray(np.clip(gain * good(), -1, 1) * later, np.float32)).keys() == {"clipped"}


def test_clipped_to_16_bits() -> None:
    assert "clipped" in {each.code for each in find_issues(read_recording(wav(4 * good()), "me"))}


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz"), [("libopus", "webm", 48_000), ("libmp3lame", "mp3", 24_000)]
)
def test_clipped_before_a_lossy_codec(codec: str, container: str, rate_hz: int) -> None:
    data = encode(np.clip(6 * good(rate_hz=rate_hz), -1, 1), codec, container, rate_hz)
    assert "clipped" in {each.code for each in find_issues(read_recording(data, "me"))}


def test_clipping_in_one_channel_is_reported() -> None:
    assert "clipped" in issues_of(np.stack([good() / 2, np.clip(5 * good(), -1, 1)]))


def test_silent_channel_is_no_issue() -> None:
    assert issues_of(np.stack([good(), np.zeros_like(good())])) == {}


@pytest.mark.parametrize("hz", [100, 200, 440])
def test_low_pure_tone_is_not_clipped(hz: float) -> None:
    assert "clipped" not in issues_of(tone(8, hz=hz, peak=0.9))


@pytest.mark.parametrize("level", [0.02, 0.05])
def test_noisy(level: float) -> None:
    issues = issues_of(np.asarray(good() + silence(8, level), np.float32))
    assert issues.keys() == {"noisy"}
    assert "dB quieter" in issues["noisy"]


def test_digital_silence_is_ignored_for_noise() -> None:
    sound = good()
    sound[np.abs(sound) < 0.003] = 0
    assert "noisy" not in issues_of(sound)


@pytest.mark.parametrize("at", [RATE_HZ, RATE_HZ + 7])
def test_click_in_digital_silence_is_not_noisy(at: int) -> None:
    sound = np.zeros(8 * RATE_HZ, np.float32)
    sound[at] = 0.5
    assert "noisy" not in issues_of(sound)


@pytest.mark.parametrize("rate_hz", [24_000, 48_000])
def test_telephone_bandwidth_is_detected_at_any_rate(rate_hz: int) -> None:
    narrow = np.asarray(resample_poly(good(rate_hz=8_000), rate_hz // 8_000, 1), np.float32)
    issues = issues_of(narrow, rate_hz)
    assert issues.keys() == {"low_bandwidth"}
    assert re.search(r"above 4\.[0-5] kHz", issues["low_bandwidth"])


@pytest.mark.parametrize("rate_hz", [8_000, 11_025])
def test_low_sample_rate_is_low_bandwidth(rate_hz: int) -> None:
    assert issues_of(good(rate_hz=rate_hz), rate_hz).keys() == {"low_bandwidth"}


def test_telephone_codec_is_low_bandwidth() -> None:
    data = encode(good(rate_hz=8_000), "pcm_mulaw", "wav", 8_000)
    assert decode_file(data, "me", 30).rate_hz == 8_000
    assert [each.code for each in find_issues(read_recording(data, "me"))] == ["low_bandwidth"]


def test_several_issues_are_reported_in_a_fixed_order() -> None:
    bad = np.clip(20 * np.asarray(resample_poly(good(3, 8_000), 3, 1)), -1, 1)
    sound = np.concatenate([silence(2), np.asarray(bad, np.float32)])
    issues = list(issues_of(sound))
    assert {"too_short", "silence_trimmed", "clipped"} <= set(issues)
    assert issues == [code for code in CHECKS if code in issues]


def test_messages_are_sentences() -> None:
    sounds = [good(1), np.clip(9 * good(), -1, 1), good() + silence(8, 0.05), good(rate_hz=8_000)]
    for sound in sounds:
        for message in issues_of(np.asarray(sound, np.float32)).values():
            assert message[0].isupper()
            assert message.endswith(".")
