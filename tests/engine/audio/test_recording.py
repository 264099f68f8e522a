import logging
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pocket_tts.data.audio import audio_read
from pocket_tts.data.audio_utils import convert_audio
from pocket_tts.data.audio_utils import end_on_pause as reference_end_on_pause

from sayline_tts.engine.audio.recording import check_audio, end_on_pause, read_audio, resample, to_int16
from sayline_tts.engine.errors import VoiceError
from tests.engine.sounds import encode, speech, tone, wav

# Equality with the reference


def write(folder: Path, samples: npt.NDArray[np.float32], rate_hz: int = 24_000) -> Path:
    path = folder / "voice.wav"
    path.write_bytes(wav(samples, rate_hz))
    return path


@pytest.mark.parametrize("channels", [1, 2])
def test_16_bit_wav_equals_the_reference(tmp_path: Path, channels: int) -> None:
    path = write(tmp_path, np.stack([speech(3, seed=seed) for seed in range(channels)]))
    expected, rate_hz = audio_read(path)
    assert rate_hz == 24_000
    assert np.array_equal(read_audio(path), expected[0].numpy())


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_resampled_audio_equals_the_reference(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = write(tmp_path, np.stack([speech(2, rate_hz, seed) for seed in range(channels)]), rate_hz)
    expected = convert_audio(*audio_read(path), 24_000, 1)
    got = read_audio(path)
    assert got.dtype == np.float32
    assert np.array_equal(got, expected[0].numpy())


def test_truncated_audio_equals_the_reference(tmp_path: Path) -> None:
    path = write(tmp_path, speech(31, 44_100), 44_100)
    samples, rate_hz = audio_read(path)
    expected = convert_audio(samples[..., : 30 * rate_hz], rate_hz, 24_000, 1)
    assert np.array_equal(read_audio(path, truncate=True), expected[0].numpy())


def assert_ends_like_the_reference(audio: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    expected = reference_end_on_pause(torch.from_numpy(audio)[None], 24_000)[0].numpy()
    got = end_on_pause(audio)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max(initial=0) <= 1e-7
    return got


@pytest.mark.parametrize("length", [0, 1, 479, 480, 481, 1000, 12_345, 48_000])
def test_end_on_pause_equals_the_reference_at_any_length(length: int) -> None:
    assert_ends_like_the_reference(speech(2)[:length])
    assert_ends_like_the_reference(np.zeros(length, np.float32))


@pytest.mark.parametrize("silence_samples", [0, 100, 1920, 24_001])
def test_prompt_ends_on_80_ms_of_silence(silence_samples: int) -> None:
    loud = tone(1)
    audio = np.concatenate([loud, np.full(silence_samples, 1e-4, np.float32)])
    got = assert_ends_like_the_reference(audio)
    assert len(got) == 24_000 + 1920
    assert not got[-1921:].any()  # the fade reaches zero, too
    assert np.array_equal(got[: 24_000 - 480], loud[: 24_000 - 480])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(-90, 0), st.integers(1, 2000)), min_size=1, max_size=8), st.integers(0, 99))
def test_end_on_pause_equals_the_reference_at_any_level(parts: list[tuple[float, int]], seed: int) -> None:
    noise = np.random.default_rng(seed)
    audio = np.concatenate([10 ** (level_db / 20) * noise.uniform(-1, 1, count) for level_db, count in parts])
    assert_ends_like_the_reference(audio.astype(np.float32))


def test_end_on_pause_does_not_modify_its_input() -> None:
    audio = tone(1)
    end_on_pause(audio)
    assert np.array_equal(audio, tone(1))


# Length


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz"),
    [
        ("flac", "flac", 24_000),
        pytest.param("libopus", "ogg", 48_000, marks=pytest.mark.slow),
        pytest.param("libmp3lame", "mp3", 24_000, marks=pytest.mark.slow),
    ],
)
def test_ten_minute_prompt_is_rejected(codec: str, container: str, rate_hz: int) -> None:
    data = encode(np.tile(tone(10, rate_hz, peak=0.01), 60), codec, container, rate_hz)
    with pytest.raises(
        VoiceError, match=r"600.0 s long; a voice prompt may have at most 30 s.*truncate=True \(--truncate\)"
    ):
        read_audio(data)
    assert len(read_audio(data, truncate=True)) == 30 * 24_000


def test_unknown_length_is_not_stated_in_the_error() -> None:
    data = bytearray(encode(tone(40), "flac", "flac"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # "unknown", as in a recording to a pipe
    with pytest.raises(VoiceError, match="the voice audio is too long; a voice prompt may have at most 30 s") as error:
        read_audio(bytes(data))
    assert " s long" not in str(error.value)


def test_exactly_30_s_are_accepted() -> None:
    assert len(read_audio(wav(tone(30)))) == 30 * 24_000
    with pytest.raises(VoiceError, match="at most 30 s"):
        read_audio(wav(tone(30 + 1 / 24_000)))


def test_prompt_shorter_than_half_a_second_is_rejected() -> None:
    assert len(read_audio(wav(tone(0.5)))) == 12_000
    for seconds in (0.001, 0.08, 0.49):
        with pytest.raises(VoiceError, match=rf"{seconds:.2f} s long, too short to clone a voice from; give 5 to 30 s"):
            read_audio(wav(tone(seconds)))


def test_mostly_damaged_file_is_too_short() -> None:
    data = wav(tone(4))
    with pytest.raises(VoiceError, match="too short"):
        read_audio(data[: 44 + 20_000])
    assert len(read_audio(data[: 44 + 40_001])) == 20_000


# Content


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_samples_are_rejected(value: float) -> None:
    samples = tone()
    samples[1000] = value
    data = bytearray(encode(tone(), "pcm_f32le", "wav"))
    data[-40_000:-39_996] = struct.pack("<f", value)
    message = r"not numbers \(NaN or infinite\); export it again"
    with pytest.raises(VoiceError, match=message):
        check_audio(samples)
    with pytest.raises(VoiceError, match=message):
        read_audio(bytes(data))


def test_cancelling_infinities_are_rejected() -> None:
    with pytest.raises(VoiceError, match="not numbers"):
        check_audio(np.stack([np.full(24_000, np.inf), np.full(24_000, -np.inf)]))
    with pytest.raises(VoiceError, match="not numbers"):
        check_audio(np.full(24_000, 1e300))
    with pytest.raises(VoiceError, match="not numbers"):
        read_audio(encode_doubles(1e300))


def test_signalling_nan_is_rejected_without_a_warning() -> None:
    data = bytearray(encode(tone(), "pcm_f32le", "wav"))
    data[-40_000:-39_996] = struct.pack("<I", 0x7F800001)
    with pytest.raises(VoiceError, match="not numbers"):
        read_audio(bytes(data))


def encode_doubles(value: float) -> bytes:
    data = encode(tone(), "pcm_f64le", "wav")
    return data[: -8 * 100] + struct.pack("<d", value) * 100


@pytest.mark.parametrize("peak", [0.0, 1e-5, 0.0009])
def test_silence_is_rejected(peak: float) -> None:
    with pytest.raises(VoiceError, match="is silent; give 5 to 30 s"):
        check_audio(tone(peak=peak))
    with pytest.raises(VoiceError, match="is silent; give 5 to 30 s"):
        read_audio(wav(tone(peak=peak)))


def test_quiet_recording_is_accepted() -> None:
    assert len(read_audio(wav(tone(peak=0.002)))) == 48_000


def test_8_bit_audio_is_accepted_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        got = read_audio(encode(tone(), "pcm_u8", "wav"))
    assert "8-bit audio: its noise becomes part of the voice" in caplog.text
    assert np.abs(got - tone()).max() < 0.02


@pytest.mark.parametrize("rate_hz", [4000, 7999])
def test_low_sample_rate_is_rejected(rate_hz: int) -> None:
    with pytest.raises(VoiceError, match=f"is sampled at {rate_hz} Hz, which is too low"):
        check_audio(tone(2, rate_hz), rate_hz)
    with pytest.raises(VoiceError, match=f"is sampled at {rate_hz} Hz, which is too low"):
        read_audio(wav(tone(2, rate_hz), rate_hz))


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"^voice\.wav is silent"):
        read_audio(write(tmp_path, np.zeros(24_000, np.float32)))
    with pytest.raises(VoiceError, match=r"^the voice audio is silent"):
        read_audio(wav(np.zeros(24_000)))


# Samples passed directly


def test_one_or_two_channels_are_mixed_to_mono() -> None:
    left, right = speech(seed=1), speech(seed=2)
    assert np.array_equal(check_audio(left), left)
    assert np.array_equal(check_audio(left[None]), left)
    assert np.array_equal(check_audio(np.stack([left, right])), (left + right) / 2)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_become_float32(dtype: str) -> None:
    assert check_audio(tone().astype(dtype)).dtype == np.float32


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint8", "bool", "complex64"])
def test_non_float_samples_are_rejected(dtype: str) -> None:
    with pytest.raises(VoiceError, match=rf"has {dtype} samples; pass floats from -1 to 1 \(divide int16 by 32768"):
        check_audio(np.ones(24_000, dtype))


def test_unscaled_floats_are_rejected() -> None:
    with pytest.raises(VoiceError, match=r"has samples up to 20000; scale them to -1 to 1"):
        check_audio(np.full(24_000, 20_000.0))


@pytest.mark.parametrize(("shape", "match"), [((), "the shape"), ((1, 1, 24_000), "the shape")])
def test_invalid_shape_is_rejected(shape: tuple[int, ...], match: str) -> None:
    with pytest.raises(VoiceError, match=rf"{match}.*pass \[samples\] or \[channels, samples\]"):
        check_audio(np.ones(shape))


@pytest.mark.parametrize("channels", [0, 8, 24_000])
def test_invalid_channel_count_is_rejected(channels: int) -> None:
    with pytest.raises(VoiceError, match=f"has {channels} channels; keep one of them"):
        check_audio(np.ones((channels, 24_000 if channels < 10 else 2)))


def test_empty_samples_are_too_short() -> None:
    with pytest.raises(VoiceError, match="too short"):
        check_audio(np.zeros(0))


def test_long_samples_are_rejected_or_truncated() -> None:
    with pytest.raises(VoiceError, match="at most 30 s"):
        check_audio(tone(31))
    assert np.array_equal(check_audio(tone(31), truncate=True), tone(31)[: 30 * 24_000])


# Conversions


def test_resampling_to_the_same_rate_is_the_identity() -> None:
    assert np.array_equal(resample(tone(), 24_000, 24_000), tone())


def test_read_audio_resamples_to_the_requested_rate() -> None:
    assert len(read_audio(wav(tone(2)), sample_rate_hz=48_000)) == 96_000


def test_to_int16_inverts_decoding() -> None:
    whole = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(to_int16(whole / np.float32(32768)), whole)
    assert to_int16(np.array([2, -2, np.nan, np.inf, -np.inf])).tolist() == [32767, -32768, 0, 32767, -32768]
    assert to_int16(np.array([0.5, 1.5]) / 32768).tolist() == [0, 2]
