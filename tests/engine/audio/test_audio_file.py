import io
import os
import socket
import struct
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sayline_tts.engine.audio.audio_file import DecodedAudio, decode_file
from sayline_tts.engine.errors import VoiceError
from tests.engine.sounds import encode, png, speech, tone, wav, with_id3


def decode(source: Path | bytes, max_seconds: float = 30) -> DecodedAudio:
    return decode_file(source, "me.wav", max_seconds)


EXACT = [("pcm_s16le", "wav"), ("pcm_s24le", "wav"), ("pcm_s32le", "wav"), ("pcm_f32le", "wav")]
EXACT += [("pcm_f64le", "wav"), ("flac", "flac"), ("alac", "ipod"), ("pcm_s16be", "aiff"), ("pcm_s16le", "matroska")]
EXACT += [("pcm_s16be", "caf"), ("pcm_f32be", "caf"), ("pcm_s16le", "w64"), ("pcm_s16be", "au")]
LOSSY = [("pcm_u8", "wav", 24_000, 35), ("pcm_mulaw", "wav", 8_000, 30), ("libmp3lame", "mp3", 24_000, 20)]
LOSSY += [("libopus", "ogg", 48_000, 20), ("libopus", "webm", 48_000, 20), ("aac", "ipod", 44_100, 20)]
LOSSY += [("aac", "adts", 44_100, 20), ("aac", "mp4", 48_000, 20), ("vorbis", "ogg", 48_000, 10)]
LOSSY += [("aac", "3gp", 44_100, 20), ("adpcm_ima_qt", "caf", 24_000, 20), ("alac", "caf", 24_000, 35)]


@pytest.mark.parametrize(("codec", "container"), EXACT)
def test_lossless_formats_decode_exactly(codec: str, container: str) -> None:
    samples = speech()
    decoded = decode(encode(samples, codec, container))
    assert decoded.rate_hz == 24_000
    assert np.array_equal(decoded.samples[0], samples)


@pytest.mark.parametrize(("codec", "container", "rate_hz", "least_db"), LOSSY)
def test_lossy_formats_decode_closely(codec: str, container: str, rate_hz: int, least_db: float) -> None:
    samples = tone(2.0, rate_hz)
    channels = 2 if codec == "vorbis" else 1  # FFmpeg's own Vorbis encoder supports only stereo
    decoded = decode(encode(np.tile(samples, (channels, 1)), codec, container, rate_hz))
    assert decoded.rate_hz == rate_hz
    got = decoded.samples[0]
    assert abs(len(got) - len(samples)) < 0.05 * rate_hz
    steady = slice(rate_hz // 2, rate_hz)
    level = np.abs(np.fft.rfft(got[steady] * np.hanning(rate_hz // 2)))
    peak = int(level.argmax())
    rest = np.concatenate([level[: peak - 3], level[peak + 4 :]])
    assert peak == 220  # bins of 2 Hz
    assert 20 * np.log10(np.linalg.norm(level[peak - 3 : peak + 4]) / np.linalg.norm(rest)) > least_db
    assert np.abs(got[steady]).max() == pytest.approx(0.3, rel=0.15)


def test_wav_of_more_than_4_gb_is_decoded_by_its_64_bit_header() -> None:
    plain = wav(speech())
    chunk = struct.pack("<4sIQQQI", b"ds64", 28, len(plain), len(plain) - 44, len(plain) // 2, 0)
    header = struct.pack("<4sI4s", b"RF64", 2**32 - 1, b"WAVE") + chunk + plain[12:40] + struct.pack("<I", 2**32 - 1)
    assert np.array_equal(decode(header + plain[44:]).samples, decode(plain).samples)


@pytest.mark.parametrize(
    ("magic", "header", "frame_bytes", "rate_hz"), [(b"#!AMR\n", 0x3C, 31, 8_000), (b"#!AMR-WB\n", 0x44, 60, 16_000)]
)
def test_amr_of_telephones_is_decoded(magic: bytes, header: int, frame_bytes: int, rate_hz: int) -> None:
    """No encoder is at hand: any bits are speech of some kind, 20 ms a frame."""
    bits = np.random.default_rng(1).integers(0, 256, (100, frame_bytes), np.uint8)
    decoded = decode(magic + b"".join(bytes([header]) + row.tobytes() for row in bits))
    assert decoded.rate_hz == rate_hz
    assert decoded.samples.shape == (1, 2 * rate_hz)
    assert decoded.samples.any()


def test_channels_are_kept_separate() -> None:
    left, right = speech(seed=1), speech(seed=2)
    assert np.array_equal(decode(wav(np.stack([left, right]))).samples, [left, right])
    assert np.array_equal(decode(encode(np.stack([left, right]), "flac", "flac")).samples, [left, right])


def test_8_bit_samples_are_centred_on_zero() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 1, 24_000, 4, "NONE", ""))
        out.writeframes(bytes([0, 64, 128, 255] * 6000))
    decoded = decode(file.getvalue())
    assert decoded.bits == 8
    assert decoded.samples[0, :4].tolist() == [-1, -0.5, 0, 127 / 128]


def test_path_decodes_like_its_bytes_whatever_its_name(tmp_path: Path) -> None:
    data = encode(speech(), "flac", "flac")
    for name in ("voice.flac", "voice.wav", "voice", "http:", "concat:a|b", "ünïcode 声.mp3", "%d.png"):
        (tmp_path / name).write_bytes(data)
        assert np.array_equal(decode(tmp_path / name).samples, decode(data).samples)


def test_audio_track_of_a_video_is_decoded(tmp_path: Path) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        video = output.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        audio = output.add_stream("aac", rate=24_000, layout="mono")
        for _ in range(25):
            output.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        output.mux(video.encode(None))
        frame = av.AudioFrame.from_ndarray(tone()[None], "fltp", "mono")
        frame.sample_rate = 24_000
        output.mux([*audio.encode(frame), *audio.encode(None)])
    assert decode(file.getvalue()).samples.shape[1] >= 48_000


def test_video_without_audio_is_rejected() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        video = output.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        output.mux([*video.encode(av.VideoFrame(64, 64, "yuv420p")), *video.encode(None)])
    with pytest.raises(VoiceError, match=r"me\.wav contains no audio; give 5 to 30 s"):
        decode(file.getvalue())


def test_malformed_tags_are_ignored() -> None:
    mp3 = with_id3(encode(tone(), "libmp3lame", "mp3"), b"TIT2", b"\3\xff\xfe\x80 not UTF-8")
    assert decode(mp3).samples.shape == (1, 48_000)


def memory_to_decode_mb(data: bytes) -> int:
    """Peak memory of a separate process that decodes `data`, Python and NumPy included; decoding may fail."""
    script = (
        "import sys; from sayline_tts.engine.audio.audio_file import VoiceError, decode_file\n"
        "try: decode_file(sys.stdin.buffer.read(), 'me', 30)\n"
        "except VoiceError: pass\n"
        "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    run = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
    return int(run.stdout) // 1000


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@needs_proc
def test_cover_picture_is_never_decoded() -> None:
    picture = b"\0image/png\0\3\0" + png(12_000)  # 432 MB of pixels
    mp3 = with_id3(encode(tone(), "libmp3lame", "mp3"), b"APIC", picture)
    assert decode(mp3).samples.shape == (1, 48_000)
    assert memory_to_decode_mb(mp3) < 200


@needs_proc
def test_oversized_comment_allocates_no_memory() -> None:
    data = wav(speech())
    comment = b"LIST\xff\xff\xff\x7fINFOISFT\xff\xff\xff\x3fpretending....."
    assert memory_to_decode_mb(data[:36] + comment + data[36:]) < 200


# Hostile files


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A readable file in the decoder's working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "secret.wav"
    path.write_bytes(wav(speech()))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile secret.wav\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n",
    ],
)
def test_playlist_cannot_read_local_files(secret: Path, text: str) -> None:
    playlist = text.format(path=secret).encode()
    with pytest.raises(VoiceError, match="not in a supported audio format"):
        decode(playlist)
    (secret.parent / "list.wav").write_bytes(playlist)
    with pytest.raises(VoiceError, match="not in a supported audio format"):
        decode(secret.parent / "list.wav")


def test_session_description_opens_no_socket() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1] & ~1
    sdp = f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    with pytest.raises(VoiceError, match="not in a supported audio format"):
        decode(sdp.encode())


def test_playlist_of_urls_opens_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        for text in (f"ffconcat version 1.0\nfile {url}\n", f"#EXTM3U\n#EXTINF:1,\n{url}\n", url):
            with pytest.raises(VoiceError):
                decode(text.encode())
        with pytest.raises(TimeoutError):
            server.accept()


# Length


@pytest.mark.parametrize(("codec", "container", "rate_hz"), [("flac", "flac", 24_000), ("libopus", "ogg", 48_000)])
def test_decoding_stops_soon_after_the_limit(codec: str, container: str, rate_hz: int) -> None:
    long = encode(np.zeros(600 * rate_hz, np.float32), codec, container, rate_hz)
    decoded = decode(long)
    assert decoded.rate_hz * 30 < decoded.samples.shape[1] < decoded.rate_hz * 31
    assert decoded.declared_seconds == pytest.approx(600, abs=0.1)


def test_wrong_length_in_the_header_is_ignored() -> None:
    data = bytearray(encode(tone(40), "flac", "flac"))
    data[21] &= 0xF0  # the count of samples, 36 bits behind the stream's format
    data[22:26] = (1000).to_bytes(4, "big")
    decoded = decode(bytes(data))
    assert 30 < decoded.samples.shape[1] / 24_000 < 31
    assert decoded.declared_seconds == pytest.approx(1000 / 24_000, abs=0.01)


def test_decoding_stops_after_too_many_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = encode(tone(10), "libmp3lame", "mp3")
    monkeypatch.setattr("sayline_tts.engine.audio.audio_file.MAX_PACKETS", 100)  # of 24 ms
    assert decode(whole).samples.shape[1] / 24_000 == pytest.approx(2.4, abs=0.1)


# Damage


@pytest.mark.parametrize(("codec", "container"), [("pcm_s16le", "wav"), ("flac", "flac"), ("libmp3lame", "mp3")])
def test_truncated_file_decodes_to_its_end(codec: str, container: str) -> None:
    data = encode(speech(4), codec, container)
    count = decode(data[: len(data) // 2]).samples.shape[1]
    assert 1.5 < count / 24_000 < 2.5


def test_damaged_packets_are_skipped() -> None:
    data = bytearray(encode(speech(4), "libmp3lame", "mp3"))
    middle = len(data) // 2
    data[middle : middle + 700] = os.urandom(700)
    assert decode(bytes(data)).samples.shape[1] > 3 * 24_000


def test_header_without_audio_is_rejected_as_damaged() -> None:
    for codec, container in (("pcm_s16le", "wav"), ("flac", "flac"), ("libopus", "ogg"), ("aac", "ipod")):
        data = encode(tone(2, 48_000), codec, container, 48_000)
        for length in (1, 10, 44, 78):
            with pytest.raises(VoiceError, match=r"me\.wav is damaged.*; give 5 to 30 s of clear speech"):
                decode(data[:length])


ORIGINALS = [
    wav(speech(1)),
    encode(speech(1), "flac", "flac"),
    encode(speech(1), "libmp3lame", "mp3"),
    encode(speech(1, 48_000), "libopus", "ogg", 48_000),
    encode(speech(1, 48_000), "libopus", "webm", 48_000),
    encode(speech(1), "aac", "ipod"),
    encode(speech(1), "alac", "caf"),
    encode(speech(1), "pcm_s16le", "w64"),
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_input_raises_only_voice_error(data: st.DataObject) -> None:
    original = bytearray(data.draw(st.sampled_from(ORIGINALS)))
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.one_of(st.integers(0, 120), st.integers(0, len(original) - 1)))
        original[min(place, len(original) - 1)] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        original = original[: data.draw(st.integers(1, len(original)))]
    try:
        decoded = decode(bytes(original))
    except VoiceError:
        return
    assert decoded.samples.dtype == np.float32
    assert decoded.samples.shape[0] in (1, 2)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=1, max_size=5000))
def test_random_bytes_are_rejected(data: bytes) -> None:
    with pytest.raises(VoiceError):
        decode(data)


# Rejected input


def test_empty_input_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    for source in (b"", tmp_path / "empty.wav"):
        with pytest.raises(VoiceError, match="is empty; give 5 to 30 s of clear speech"):
            decode(source)


def test_text_and_pictures_are_rejected() -> None:
    for data in (b"Hello there.\n" * 1000, png(10), b"\x89PNG", b"\0" * 10_000, b"RIFF", b"<html></html>"):
        with pytest.raises(VoiceError, match="damaged, or not in a supported audio format; give 5 to 30 s"):
            decode(data)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match=r"none\.wav does not exist; check the path"):
        decode(tmp_path / "none.wav")


def test_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="is a folder; name an audio file in it"):
        decode(tmp_path)


def test_special_files_are_rejected_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")):
            with pytest.raises(VoiceError, match="is not a regular file; save the audio to a file first"):
                decode(path)


def test_unopenable_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path in (Path("a\0b"), Path("x" * 5000), tmp_path / "file" / "below", Path("\udcff\ud800")):
        with pytest.raises(VoiceError, match=r"cannot be opened \(.*\); check its path and permissions"):
            decode(path)


def test_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.wav").write_bytes(b"x")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(VoiceError, match=r"cannot be opened \(Permission denied\); check its path and permissions"):
        decode(tmp_path / "mine.wav")


@pytest.mark.parametrize("channels", [6, 8])
def test_more_than_two_channels_are_rejected(channels: int) -> None:
    with pytest.raises(VoiceError, match=rf"has {channels} channels; keep one of them, or mix it down"):
        decode(wav(np.tile(tone(), (channels, 1))))


def test_low_sample_rate_is_rejected() -> None:
    with pytest.raises(VoiceError, match=r"is sampled at 4000 Hz, which is too low.*of 8000 Hz or more"):
        decode(wav(tone(2, 4000), 4000))


def test_excessive_sample_rate_is_rejected() -> None:
    with pytest.raises(VoiceError, match=r"is sampled at 400000 Hz; convert it to 48000 Hz or less"):
        decode(wav(tone(1, 400_000), 400_000))


def test_frames_with_another_channel_count_are_dropped() -> None:
    mono, stereo = encode(tone(2), "libmp3lame", "mp3"), encode(np.stack([tone(2), tone(2)]), "libmp3lame", "mp3")
    decoded = decode(mono + stereo)
    assert decoded.samples.shape[0] == 1
    assert 1.9 < decoded.samples.shape[1] / 24_000 < 2.5


def test_unsupported_sample_format_is_rejected() -> None:
    with pytest.raises(VoiceError, match="has unsupported s64 samples; convert it to a 16-bit WAV"):
        decode(encode(tone(), "pcm_s64le", "wav"))
