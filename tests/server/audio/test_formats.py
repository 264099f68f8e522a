import io
import os
import threading
from collections.abc import Iterator

import av
import numpy as np
import numpy.typing as npt
import pytest

from sayline_tts.engine.audio.loudness import integrated_loudness
from sayline_tts.engine.audio.recording import to_int16, to_pcm
from sayline_tts.server.audio.formats import FORMAT_SPECS, Encoder, Format, FormatError, new_encoder

RATE_HZ = 24_000
FRAME = 1920
Samples = npt.NDArray[np.float32]
# Minimum SNR. Lossy formats are measured on a voice-like sound, so their bounds are coarse.
SNR_DB = {"wav": 60, "pcm": 60, "pcm_f32le": 60, "flac": 60, "mulaw": 30, "alaw": 30, "opus": 12, "mp3": 12, "aac": 12}
DECODED_AT_HZ = {"opus": 48_000}  # others: at the requested rate


def voice(seconds: float = 2.0) -> Samples:
    """A gliding pitch with ten harmonics, in syllables; all below 2 kHz, so that 8 kHz can hold it."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(130 + 40 * np.sin(2 * np.pi * 1.3 * time)) / RATE_HZ
    sound = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 11))
    return np.asarray(0.2 * sound * np.sin(2 * np.pi * 2 * time + 0.5) ** 2, np.float32)


def frames(sound: Samples, size: int = FRAME) -> Iterator[Samples]:
    return (sound[at : at + size] for at in range(0, len(sound), size))


def encoded(encoder: Encoder, sound: Samples, size: int = FRAME) -> bytes:
    return b"".join([encoder.encode(frame) for frame in frames(sound, size)] + [encoder.end()])


def decoded(format: str, data: bytes, rate_hz: int) -> tuple[Samples, int]:
    """The decoded samples, and their rate."""
    container = {"pcm": "s16le", "pcm_f32le": "f32le", "opus": "ogg"}.get(format, str(format))
    options = {"sample_rate": str(rate_hz)} if format in ("pcm", "pcm_f32le", "mulaw", "alaw") else {}
    with av.open(io.BytesIO(data), "r", format=container, options=options) as file:
        parts = [np.zeros(0, np.float32)]
        for frame in file.decode(audio=0):
            scale = 1 / 32768 if frame.format.packed.name == "s16" else 1
            parts.append(frame.to_ndarray().reshape(-1).astype(np.float32) * np.float32(scale))
        return np.concatenate(parts), file.streams.audio[0].sample_rate


def at_rate(sound: Samples, rate_hz: int) -> Samples:
    """Resample by Fourier transform, independently of the tested code."""
    samples = round(len(sound) * rate_hz / RATE_HZ)
    spectrum = np.fft.rfft(sound)
    whole = np.zeros(samples // 2 + 1, complex)
    kept = min(len(spectrum), len(whole))
    whole[:kept] = spectrum[:kept]
    return np.asarray(np.fft.irfft(whole, samples) * samples / len(sound), np.float32)


def snr_db(sent: Samples, output: Samples, rate_hz: int) -> float:
    """SNR of the middle second at the best alignment, because encoders delay."""
    begin, length, late = rate_hz // 2, rate_hz, rate_hz // 4
    middle = sent[begin : begin + length]
    at = begin + int(np.argmax(np.correlate(output[begin : begin + late + length], middle, "valid")))
    aligned = output[at : at + length]
    return float(10 * np.log10(np.square(middle).sum() / np.square(middle - aligned).sum()))


def level_db(sound: Samples) -> float:
    return float(10 * np.log10(np.square(sound).mean()))


def spectrum_db(sound: Samples, rate_hz: int) -> npt.NDArray[np.float64]:
    """Power in bands of 250 Hz up to 2 kHz, from where every encoder has started."""
    power = np.square(np.abs(np.fft.rfft(sound[rate_hz // 4 : rate_hz * 3 // 2])))
    hz = np.fft.rfftfreq(rate_hz * 3 // 2 - rate_hz // 4, 1 / rate_hz)
    bands = [power[(low <= hz) & (hz < low + 250)].sum() / rate_hz**2 for low in range(0, 2000, 250)]
    return np.asarray(10 * np.log10(np.array(bands)), np.float64)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("format", Format)
def test_decoded_audio_matches_the_input(format: str, rate_hz: int) -> None:
    if rate_hz not in FORMAT_SPECS[Format(format)].rates_hz:
        pytest.skip("the format has no such rate")
    sound = voice()
    output, output_hz = decoded(format, encoded(new_encoder(format, rate_hz, RATE_HZ), sound), rate_hz)
    assert output_hz == DECODED_AT_HZ.get(format, rate_hz)
    sent = at_rate(sound, output_hz)
    late_s = {"mp3": 3 * 1152 / rate_hz, "aac": 2 * 1024 / rate_hz}.get(format, 0)
    assert 0 <= len(output) / output_hz - 2.0 <= late_s + 0.001
    assert snr_db(sent, output, output_hz) > SNR_DB[format]
    assert level_db(output) == pytest.approx(level_db(sent), abs=1.5)
    if format not in ("mp3", "aac"):  # these start with silence
        before, after = spectrum_db(sent, output_hz), spectrum_db(output, output_hz)
        assert np.abs(before - after)[before > -60].max() < 1.5


@pytest.mark.parametrize("format", Format)
def test_first_frame_gives_bytes_at_once(format: str) -> None:
    encoder = new_encoder(format, None, RATE_HZ)
    sound = voice()
    first = encoder.encode(sound[:FRAME])
    assert first
    if format == "mp3":  # a file needs two frames, a stream one
        packets = av.CodecContext.create("mp3", "r").parse(first + b"\xff")
        assert [packet.size for packet in packets] == [192]
    else:
        output, output_hz = decoded(format, first, encoder.sample_rate_hz)
        assert len(output) / output_hz >= 0.02  # they contain audio
    for frame in frames(sound[FRAME:]):
        assert encoder.encode(frame)  # and so does every later frame


@pytest.mark.parametrize("format", ["wav", "pcm", "flac", "opus", "mulaw", "alaw"])
def test_low_latency_formats_delay_at_most_25_ms(format: str) -> None:
    """After every frame, all but the last 25 ms of the input can be decoded."""
    encoder, data = new_encoder(format, None, RATE_HZ), b""
    for number, frame in enumerate(frames(voice(1.0)), 1):
        data += encoder.encode(frame)
        output, output_hz = decoded(format, data, encoder.sample_rate_hz)
        assert len(output) / output_hz >= min(number * 0.08, 1.0) - 0.025


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_resampling_has_no_clicks_between_frames(rate_hz: int) -> None:
    tone = np.asarray(0.5 * np.sin(2 * np.pi * 997 * np.arange(2 * RATE_HZ) / RATE_HZ), np.float32)
    output, _ = decoded("pcm", encoded(new_encoder("pcm", rate_hz, RATE_HZ), tone), rate_hz)
    ideal = 0.5 * np.sin(2 * np.pi * 997 * np.arange(len(output)) / rate_hz)
    assert len(output) == 2 * rate_hz
    assert np.abs(output - ideal)[rate_hz // 10 : -rate_hz // 10].max() < 3 / 32768


@pytest.mark.parametrize("rate_hz", [8_000, 16_000])
def test_downsampling_does_not_alias(rate_hz: int) -> None:
    high = np.asarray(0.5 * np.sin(2 * np.pi * (rate_hz / 2 + 1000) * np.arange(RATE_HZ) / RATE_HZ), np.float32)
    output, _ = decoded("pcm", encoded(new_encoder("pcm", rate_hz, RATE_HZ), high), rate_hz)
    assert level_db(output[rate_hz // 10 : -rate_hz // 10] + 1e-9) < -65


@pytest.mark.parametrize("format", Format)
def test_input_may_have_any_length(format: str) -> None:
    """As after time stretching."""
    sound = voice(1.0)
    whole = decoded(format, encoded(new_encoder(format, None, RATE_HZ), sound), RATE_HZ)[0]
    odd = decoded(format, encoded(new_encoder(format, None, RATE_HZ), sound, 1237), RATE_HZ)[0]
    assert len(whole) == len(odd)
    assert np.abs(whole - odd).max() < 0.02
    none = new_encoder(format, None, RATE_HZ)
    none.encode(np.zeros(0, np.float32))
    none.encode(sound[:1])
    none.encode(np.zeros(0, np.float32))
    none.end()


def test_pcm_and_wav_at_the_model_rate_are_lossless() -> None:
    sound = np.clip(np.random.default_rng(0).normal(0, 0.5, 4800), -1.2, 1.2).astype(np.float32)
    assert encoded(new_encoder("pcm", None, RATE_HZ), sound) == to_pcm(sound)
    wav = encoded(new_encoder("wav", None, RATE_HZ), sound)
    assert wav == wav[:44] + to_pcm(sound)
    assert wav[4:8] == wav[40:44] == b"\xff\xff\xff\xff"  # the length is unknown at the start


def test_g711_matches_the_standard() -> None:
    """Code words for silence and for full scale of both signs."""
    for format, silence, loudest, quietest in (("mulaw", 0xFF, 0x80, 0x00), ("alaw", 0xD5, 0xAA, 0x2A)):
        samples = np.array([0, 1, -1], np.float32).repeat(4)
        assert encoded(new_encoder(format, 24_000, RATE_HZ), samples)[::4] == bytes([silence, loudest, quietest])


@pytest.mark.parametrize("format", Format)
def test_out_of_range_and_nan_samples_are_bounded(format: str) -> None:
    broken = voice(1.0)
    broken[5000:5100] = np.nan
    broken[6000:6100] = np.inf
    broken[7000:7100] = -np.inf
    bounded = np.clip(np.nan_to_num(broken, nan=0), -1, 1)
    one, other = (
        decoded(format, encoded(new_encoder(format, None, RATE_HZ), sound), RATE_HZ)[0] for sound in (broken, bounded)
    )
    assert np.array_equal(one, other)


@pytest.mark.parametrize("format", Format)
def test_empty_input_gives_a_valid_file(format: str) -> None:
    data = new_encoder(format, None, RATE_HZ).end()
    output, output_hz = decoded(format, data, RATE_HZ)
    assert len(output) / output_hz < 0.2
    assert not np.abs(output).max(initial=0) > 0.001


@pytest.mark.parametrize(
    ("format", "rate_hz", "content_type", "usual_hz"),
    [
        ("wav", None, "audio/wav", 24_000),
        ("pcm", 16_000, "audio/pcm;rate=16000", 16_000),
        ("opus", None, "audio/ogg;codecs=opus", 24_000),
        ("mp3", None, "audio/mpeg", 24_000),
        ("aac", None, "audio/aac", 48_000),
        ("flac", None, "audio/flac", 24_000),
        ("mulaw", None, "audio/PCMU;rate=8000", 8_000),
        ("alaw", None, "audio/PCMA;rate=8000", 8_000),
    ],
)
def test_content_types(format: str, rate_hz: int | None, content_type: str, usual_hz: int) -> None:
    encoder = new_encoder(format, rate_hz, RATE_HZ)
    assert (encoder.content_type, encoder.sample_rate_hz) == (content_type, usual_hz)


@pytest.mark.parametrize("format", ["opus", "mp3", "aac"])
def test_bitrate_is_respected(format: str) -> None:
    sound = voice(2.0)
    low, high = (len(encoded(new_encoder(format, 48_000, RATE_HZ, bitrate), sound)) for bitrate in (32_000, 96_000))
    assert 0.6 * 8_000 < low < 1.6 * 8_000
    assert high > 1.5 * low


@pytest.mark.parametrize(
    ("format", "rate_hz", "expected"),
    [
        ("ogg", None, "unknown format 'ogg'; use one of: wav, pcm, opus"),
        ("x" * 1000, None, "unknown format 'xxxxxxxxxxxxxxxxxxxx'; use one of"),
        ("pcm", 7_999, "does not support a sample rate of 7999 Hz; use 8000 to 48000"),
        ("wav", 96_000, "96000"),
        ("opus", 44_100, "use 8000, 12000, 16000, 24000, 48000"),
        ("mp3", 23_000, "use 8000, 11025"),
    ],
)
def test_unsupported_formats_and_rates_are_rejected_with_alternatives(
    format: str, rate_hz: int | None, expected: str
) -> None:
    with pytest.raises(FormatError, match=expected):
        new_encoder(format, rate_hz, RATE_HZ)


def test_no_threads_are_started() -> None:
    """By default FFmpeg starts one per core and stream."""
    before = threads()
    encoders = [new_encoder(format, 8_000, RATE_HZ) for format in Format for _ in range(3)]
    for encoder in encoders:
        encoder.encode(voice(0.08))
    assert threads() == before


def test_encoder_may_move_between_threads() -> None:
    sound = voice(0.5)
    expected = encoded(new_encoder("mp3", 44_100, RATE_HZ), sound)
    got: list[bytes] = []
    encoder = new_encoder("mp3", 44_100, RATE_HZ)

    def one_frame(frame: Samples) -> None:
        got.append(encoder.encode(frame))

    for frame in frames(sound):  # each on a thread of its own, as in the server, where codec threads take turns
        thread = threading.Thread(target=one_frame, args=(frame,))
        thread.start()
        thread.join()
    assert b"".join([*got, encoder.end()]) == expected


def threads() -> int:
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count()


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 48_000])
def test_all_formats_are_as_loud(rate_hz: int) -> None:
    """Within 1 LU of what was encoded, as EBU R 128 asks of programmes."""
    sound = voice(3.0)
    for format in Format:
        output, output_hz = decoded(format, encoded(new_encoder(format, rate_hz, RATE_HZ), sound), rate_hz)
        assert abs(integrated_loudness(output, output_hz) - integrated_loudness(sound, RATE_HZ)) < 1, format


def test_samples_are_rounded_to_nearest() -> None:
    sound = np.array([0.4, 0.6, -0.4, -0.6], np.float32) / np.float32(32768)
    assert to_int16(sound).tolist() == [0, 1, 0, -1]
    assert np.frombuffer(encoded(new_encoder("pcm", None, RATE_HZ), sound), "<i2").tolist() == [0, 1, 0, -1]
