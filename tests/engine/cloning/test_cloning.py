import io
import struct
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.cloning.cloning import clone_voice, is_voice_file, read_recording
from sayline_tts.engine.errors import VoiceError
from sayline_tts.engine.models.model import Model
from tests.engine.sounds import encode, speech, wav
from tests.fuzz import FUZZ, fuzz

CLARA = EMBEDDED / "voices" / "clara.safetensors"
with safetensors.safe_open(CLARA, "pt") as file:
    POSITIONS = file.get_slice("transformer.layers.0.self_attn/cache").get_shape()[2]


def browser_recording(seconds: float) -> bytes:
    """A recording as a browser writes it: an unseekable stream, so it has no length and no index."""

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, piece: object) -> int:
            self.data += bytes(piece)  # type: ignore[call-overload]
            return len(memoryview(piece))  # type: ignore[arg-type]

    stream = Stream()
    with av.open(stream, "w", format="webm", options={"live": "1"}) as output:
        track = output.add_stream("libopus", rate=48_000, layout="mono")
        pcm = np.rint(speech(seconds, 48_000) * 32767).astype("<i2")
        for start in range(0, len(pcm) - 959, 960):
            frame = av.AudioFrame.from_ndarray(pcm[None, start : start + 960], "s16", "mono")
            frame.sample_rate = 48_000
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    return bytes(stream.data)


def test_recording_is_cloned_to_a_voice_of_the_model(model: Model) -> None:
    made = clone_voice(model, wav(speech(6)), "me.wav")
    limit_s = model.checkpoint.max_prompt_s or 30
    shape = model.config.flow_lm.transformer
    assert made.voice.keys.shape[:2] == (shape.num_layers, shape.kv_heads)
    assert made.voice.keys.shape[3] == shape.head_dim
    assert 0.6 * min(limit_s, 6) <= made.duration_s <= min(limit_s, 6)
    assert {each.code for each in made.issues} <= {"low_bandwidth", "noisy", "excerpt_used"}


def test_browser_recording_is_decoded() -> None:
    recording = read_recording(browser_recording(6), "the file")
    assert recording.seconds == pytest.approx(6, abs=0.2)
    assert recording.rate_hz == 48_000


@pytest.mark.parametrize(
    ("codec", "container", "rate_hz"),
    [
        ("flac", "flac", 44_100),
        ("libmp3lame", "mp3", 44_100),
        ("libopus", "ogg", 48_000),
        ("libopus", "webm", 48_000),
        ("aac", "ipod", 44_100),
        ("aac", "mp4", 48_000),
        ("alac", "ipod", 44_100),
        ("pcm_s16be", "aiff", 22_050),
        ("pcm_mulaw", "wav", 8_000),
    ],
)
def test_common_formats_are_decoded(codec: str, container: str, rate_hz: int) -> None:
    data = encode(speech(4, rate_hz), codec, container, rate_hz)
    assert not is_voice_file(data)
    assert read_recording(data, "me").seconds == pytest.approx(4, abs=0.3)


def test_recording_is_resampled_to_the_rate_of_the_model(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded_lengths: list[int] = []

    def encode_voice(_: Model, audio: np.ndarray) -> None:
        encoded_lengths.append(len(audio))

    monkeypatch.setattr(Model, "encode_voice", encode_voice)
    clone_voice(model, wav(speech(3, 48_000), 48_000), "me")
    assert encoded_lengths == [pytest.approx(3 * model.sample_rate_hz, rel=0.05)]


def test_only_what_the_model_can_take_is_encoded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[np.ndarray] = []
    monkeypatch.setattr(Model, "encode_voice", lambda _, audio: encoded.append(audio))
    limited = replace(model, checkpoint=replace(model.checkpoint))
    vars(limited.checkpoint)["max_prompt_s"] = 2.0
    made = clone_voice(limited, wav(speech(20)), "me")
    assert len(encoded[0]) <= 2 * model.sample_rate_hz
    assert made.duration_s == len(encoded[0]) / model.sample_rate_hz
    assert "excerpt_used" in {each.code for each in made.issues}


@pytest.mark.parametrize("defect", ["quiet", "offset", "rumble"])
def test_defect_is_removed_before_encoding(model: Model, monkeypatch: pytest.MonkeyPatch, defect: str) -> None:
    encoded: list[np.ndarray] = []
    monkeypatch.setattr(Model, "encode_voice", lambda _, audio: encoded.append(audio))
    clean = speech(3)
    rumble = np.sin(2 * np.pi * 15 * np.arange(len(clean)) / 24_000)
    damaged = {"quiet": clean * 0.01, "offset": clean + 0.05, "rumble": clean + 0.1 * rumble}[defect]
    for sound in (clean, damaged):
        clone_voice(model, wav(sound), "me")
    middle = slice(24_000, 48_000)  # transients of the filter at the ends
    difference = encoded[1][middle] - encoded[0][middle]
    assert np.std(difference) < 0.1 * np.std(encoded[0])
    assert abs(np.mean(encoded[1][middle])) < 1e-3


def test_offset_alone_is_silence() -> None:
    with pytest.raises(VoiceError, match=r"me\.wav is silent"):
        read_recording(wav(np.full(96_000, 0.2, np.float32)), "me.wav")


def test_recording_is_truncated_to_30_s() -> None:
    recording = read_recording(encode(speech(45), "flac", "flac"), "me")
    assert recording.is_truncated
    assert recording.seconds <= 30


def test_click_in_silence_is_rejected() -> None:
    sound = np.zeros(5 * 24_000, np.float32)
    sound[60_000] = 0.5
    with pytest.raises(VoiceError, match=r"me\.wav has only 0\.4\d s of sound; give 5 to 30 s"):
        read_recording(wav(sound), "me.wav")


def test_weights_without_cloning_are_rejected(model: Model) -> None:
    without_cloning = replace(model, checkpoint=replace(model.checkpoint, can_clone=False))
    with pytest.raises(VoiceError, match="cannot clone a voice"):
        clone_voice(without_cloning, wav(speech()), "me")
    assert (
        clone_voice(without_cloning, CLARA.read_bytes(), "me").voice.positions == POSITIONS
    )  # a voice file needs no cloning


# Voice files


def test_voice_file_is_loaded_unchanged(model: Model) -> None:
    made = clone_voice(model, CLARA.read_bytes(), "clara")
    own = model.load_voice("clara")
    assert torch.equal(made.voice.keys, own.keys)
    assert torch.equal(made.voice.values, own.values)
    assert made.duration_s == pytest.approx(POSITIONS / 12.5)
    assert made.issues == ()
    assert made.voice.to_bytes() == own.to_bytes()


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(path.read_bytes())


def test_voice_file_longer_than_30_s_is_rejected(model: Model) -> None:
    tensors = tensors_of(CLARA)
    for name, tensor in tensors.items():
        if name.endswith("/cache"):
            tensors[name] = tensor.repeat(1, 1, 11, 1, 1)
        if name.endswith("/offset"):
            tensors[name] = torch.tensor([11 * POSITIONS])
    with pytest.raises(VoiceError, match=f"me: {11 * POSITIONS} positions long, 383 are allowed"):
        clone_voice(model, safetensors.torch.save(tensors), "me")


@pytest.mark.parametrize("value", [1e30, -1e30, 2e4, torch.inf, torch.nan])
def test_non_finite_or_huge_values_are_rejected(model: Model, value: float) -> None:
    tensors = tensors_of(CLARA)
    tensors["transformer.layers.2.self_attn/cache"][1, 0, 3, 1, 5] = value
    with pytest.raises(VoiceError, match="not finite, or far too large"):
        clone_voice(model, safetensors.torch.save(tensors), "me")


@pytest.mark.parametrize("offset", [torch.tensor([torch.nan]), torch.tensor([True]), torch.tensor([1 + 1j])])
def test_non_integer_length_is_rejected(model: Model, offset: torch.Tensor) -> None:
    tensors = tensors_of(CLARA)
    tensors["transformer.layers.0.self_attn/offset"] = offset
    with pytest.raises(VoiceError, match="does not say how long it is"):
        clone_voice(model, safetensors.torch.save(tensors), "me")


def test_integer_cache_is_rejected(model: Model) -> None:
    tensors = {name: tensor.to(torch.int32) for name, tensor in tensors_of(CLARA).items()}
    with pytest.raises(VoiceError, match="me: not a voice: layer 0 holds I32"):
        clone_voice(model, safetensors.torch.save(tensors), "me")


def header_only(*tensors: str, data_bytes: int = 0, header_bytes: int = 0) -> bytes:
    header = ("{" + ",".join(tensors) + "}").encode().ljust(header_bytes)
    return struct.pack("<Q", len(header)) + header + bytes(data_bytes)


LAYER = '"transformer.layers.0.self_attn/cache":{"dtype":"F32","shape":%s,"data_offsets":%s}'


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (header_only(LAYER % ("[2,1,99999999,4,64]", "[0,204799997952]")), "does not match its header|not a usable"),
        (header_only(LAYER % ("[2,1,99999999,4,64]", "[0,16]"), data_bytes=16), "not a usable"),
        (header_only(LAYER % ("[2,1,0,4,64]", "[0,0]")), "layer 1 is missing"),
        (header_only(LAYER % ("[2,1,4]", "[0,32]"), data_bytes=32), "layer 0 is .2, 1, 4., this model needs"),
        (header_only('"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}', data_bytes=16), "layer 0 is missing"),
        (header_only(header_bytes=300_000), "its header takes 300000 bytes, more than a voice has"),
        (header_only(), "layer 0 is missing"),
        (struct.pack("<Q", 12) + b"{never ends ", "not a safetensors file"),
    ],
)
def test_header_is_checked_before_tensors_are_read(model: Model, data: bytes, fault: str) -> None:
    assert is_voice_file(data)
    with pytest.raises(VoiceError, match=fault) as error:
        clone_voice(model, data, "your file")
    assert str(error.value).startswith("your file: ")
    assert "/tmp" not in str(error.value)


def test_no_tensor_is_read_from_an_unsuitable_file(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = tensors_of(CLARA)
    del tensors["transformer.layers.5.self_attn/cache"]
    data = safetensors.torch.save(tensors)

    def read(tensor: torch.Tensor) -> torch.Tensor:
        raise AssertionError("a tensor was allocated")

    monkeypatch.setattr("sayline_tts.engine.checkpoint.safetensors_reader._float32", read)
    with pytest.raises(VoiceError, match="layer 5 is missing"):
        clone_voice(model, data, "me")


def test_unknown_tensors_are_not_read(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    data = safetensors.torch.save({**tensors_of(CLARA), "more": torch.zeros(1000)})
    assert clone_voice(model, data, "me").voice.positions == POSITIONS


@pytest.mark.parametrize("data", [b"", b"{", b"\0" * 8 + b"{"[:0], wav(speech()), struct.pack("<Q", 99) + b"{}"])
def test_other_data_is_not_taken_for_a_voice_file(data: bytes) -> None:
    assert not is_voice_file(data)


# Fuzzing

SEEDS = [
    wav(speech(1)),
    encode(speech(1), "flac", "flac"),
    encode(speech(1, 48_000), "libopus", "webm", 48_000),
    encode(speech(1), "libmp3lame", "mp3"),
    encode(speech(1, 44_100), "aac", "ipod", 44_100),
    CLARA.read_bytes(),
    header_only(LAYER % ("[2,1,1,4,64]", "[0,2048]"), data_bytes=2048),
]


@given(
    seed=st.sampled_from(SEEDS),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=12)), max_size=6),
    in_header=st.booleans(),
)
@fuzz
@settings(max_examples=150 * FUZZ, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_input_is_cloned_or_rejected_with_a_message(
    model: Model,
    seed: bytes,
    cuts: tuple[float, float],
    changes: list[tuple[float, bytes]],
    in_header: bool,
) -> None:
    data = bytearray(seed)
    for where, piece in changes:
        at = int(where * (min(len(data), 400) if in_header else len(data)))
        data[at : at + len(piece)] = piece
    start, end = sorted(int(cut * len(data)) for cut in cuts) if not in_header else (0, len(data))
    refusal, made = "", None
    try:
        made = clone_voice(model, bytes(data[start:end]), "me")
    except VoiceError as error:
        refusal = str(error)
    assert len(refusal) < 1000
    if made is not None:
        assert 0 < made.voice.positions < 400
        assert made.voice.keys.isfinite().all()
