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
from sayline_tts.engine.cloning.cloning import clone, hear, is_voice_file
from sayline_tts.engine.errors import VoiceError
from sayline_tts.engine.models.model import Model
from tests.engine.sounds import encode, speech, wav
from tests.fuzz import FUZZ, fuzz

CLARA = EMBEDDED / "voices" / "clara.safetensors"
with safetensors.safe_open(CLARA, "pt") as file:
    POSITIONS = file.get_slice("transformer.layers.0.self_attn/cache").get_shape()[2]  # of it


def browser_recording(seconds: float) -> bytes:
    """As a browser's recorder writes it: a stream that nobody went back in, so it has no length and no index."""

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


def test_a_recording_becomes_a_voice_that_fits_the_model(model: Model) -> None:
    made = clone(model, wav(speech(6)), "me.wav")
    shape = model.config.flow_lm.transformer
    assert made.voice.keys.shape[:2] == (shape.num_layers, shape.kv_heads)
    assert made.voice.keys.shape[3] == shape.head_dim
    assert made.duration_s == pytest.approx(6, abs=0.2)
    assert {each.code for each in made.advice} <= {"low_bandwidth", "noisy"}


def test_what_a_browsers_recorder_makes_is_heard() -> None:
    recording = hear(browser_recording(6), "the file")
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
def test_every_common_format_is_heard(codec: str, container: str, rate_hz: int) -> None:
    data = encode(speech(4, rate_hz), codec, container, rate_hz)
    assert not is_voice_file(data)
    assert hear(data, "me").seconds == pytest.approx(4, abs=0.3)


def test_the_rate_of_the_model_is_what_is_encoded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []

    def encode_voice(_: Model, audio: np.ndarray) -> None:
        heard.append(len(audio))

    monkeypatch.setattr(Model, "encode_voice", encode_voice)
    clone(model, wav(speech(4, 48_000), 48_000), "me")
    assert heard == [pytest.approx(4 * model.sample_rate_hz, rel=0.05)]


def test_only_30_s_are_used_and_that_is_told() -> None:
    recording = hear(encode(speech(45), "flac", "flac"), "me")
    assert recording.is_cut_off
    assert recording.seconds <= 30


def test_silence_with_a_click_is_no_voice() -> None:
    sound = np.zeros(5 * 24_000, np.float32)
    sound[60_000] = 0.5
    with pytest.raises(VoiceError, match=r"me\.wav has only 0\.42 s that are not silent; give 5 to 30 s"):
        hear(wav(sound), "me.wav")


def test_weights_that_cannot_clone_say_so(model: Model) -> None:
    deaf = replace(model, checkpoint=replace(model.checkpoint, can_clone=False))
    with pytest.raises(VoiceError, match="cannot clone a voice"):
        clone(deaf, wav(speech()), "me")
    assert clone(deaf, CLARA.read_bytes(), "me").voice.positions == POSITIONS  # a voice file needs no cloning


# Voice files


def test_a_voice_file_is_taken_as_it_is(model: Model) -> None:
    made = clone(model, CLARA.read_bytes(), "clara")
    own = model.load_voice("clara")
    assert torch.equal(made.voice.keys, own.keys)
    assert torch.equal(made.voice.values, own.values)
    assert made.duration_s == pytest.approx(POSITIONS / 12.5)
    assert made.advice == ()
    assert made.voice.to_bytes() == own.to_bytes()


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load(path.read_bytes())


def test_a_voice_longer_than_30_s_would_slow_down_everybody(model: Model) -> None:
    tensors = tensors_of(CLARA)
    for name, tensor in tensors.items():
        if name.endswith("/cache"):
            tensors[name] = tensor.repeat(1, 1, 11, 1, 1)
        if name.endswith("/offset"):
            tensors[name] = torch.tensor([11 * POSITIONS])
    with pytest.raises(VoiceError, match=f"me: {11 * POSITIONS} positions long, 383 are allowed"):
        clone(model, safetensors.torch.save(tensors), "me")


@pytest.mark.parametrize("value", [1e30, -1e30, 2e4, torch.inf, torch.nan])
def test_numbers_that_would_poison_a_slot_are_refused(model: Model, value: float) -> None:
    tensors = tensors_of(CLARA)
    tensors["transformer.layers.2.self_attn/cache"][1, 0, 3, 1, 5] = value
    with pytest.raises(VoiceError, match="not finite, or far too large"):
        clone(model, safetensors.torch.save(tensors), "me")


@pytest.mark.parametrize("offset", [torch.tensor([torch.nan]), torch.tensor([True]), torch.tensor([1 + 1j])])
def test_a_length_that_is_no_whole_number_is_refused(model: Model, offset: torch.Tensor) -> None:
    tensors = tensors_of(CLARA)
    tensors["transformer.layers.0.self_attn/offset"] = offset
    with pytest.raises(VoiceError, match="does not say how long it is"):
        clone(model, safetensors.torch.save(tensors), "me")


def test_integers_are_no_voice(model: Model) -> None:
    tensors = {name: tensor.to(torch.int32) for name, tensor in tensors_of(CLARA).items()}
    with pytest.raises(VoiceError, match="me: not a voice: layer 0 holds I32"):
        clone(model, safetensors.torch.save(tensors), "me")


def announced(*tensors: str, data_bytes: int = 0, header_bytes: int = 0) -> bytes:
    header = ("{" + ",".join(tensors) + "}").encode().ljust(header_bytes)
    return struct.pack("<Q", len(header)) + header + bytes(data_bytes)


LAYER = '"transformer.layers.0.self_attn/cache":{"dtype":"F32","shape":%s,"data_offsets":%s}'


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (announced(LAYER % ("[2,1,99999999,4,64]", "[0,204799997952]")), "not what its header announces|not a usable"),
        (announced(LAYER % ("[2,1,99999999,4,64]", "[0,16]"), data_bytes=16), "not a usable"),
        (announced(LAYER % ("[2,1,0,4,64]", "[0,0]")), "layer 1 is missing"),
        (announced(LAYER % ("[2,1,4]", "[0,32]"), data_bytes=32), "layer 0 is .2, 1, 4., this model needs"),
        (announced('"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}', data_bytes=16), "layer 0 is missing"),
        (announced(header_bytes=300_000), "its header takes 300000 bytes, more than a voice has"),
        (announced(), "layer 0 is missing"),
        (struct.pack("<Q", 12) + b"{never ends ", "not a safetensors file"),
    ],
)
def test_a_header_is_checked_before_anything_is_read(model: Model, data: bytes, fault: str) -> None:
    assert is_voice_file(data)
    with pytest.raises(VoiceError, match=fault) as told:
        clone(model, data, "your file")
    assert str(told.value).startswith("your file: ")
    assert "/tmp" not in str(told.value)


def test_nothing_is_read_of_a_file_that_does_not_fit(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = tensors_of(CLARA)
    del tensors["transformer.layers.5.self_attn/cache"]
    data = safetensors.torch.save(tensors)

    def read(tensor: torch.Tensor) -> torch.Tensor:
        raise AssertionError("room was made for a tensor")

    monkeypatch.setattr("sayline_tts.engine.checkpoint.safetensors_reader._float32", read)
    with pytest.raises(VoiceError, match="layer 5 is missing"):
        clone(model, data, "me")


def test_tensors_that_no_voice_has_are_not_read(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    data = safetensors.torch.save({**tensors_of(CLARA), "more": torch.zeros(1000)})
    assert clone(model, data, "me").voice.positions == POSITIONS


@pytest.mark.parametrize("data", [b"", b"{", b"\0" * 8 + b"{"[:0], wav(speech()), struct.pack("<Q", 99) + b"{}"])
def test_what_is_no_voice_file_is_not_taken_for_one(data: bytes) -> None:
    assert not is_voice_file(data)


# Anything at all

SEEDS = [
    wav(speech(1)),
    encode(speech(1), "flac", "flac"),
    encode(speech(1, 48_000), "libopus", "webm", 48_000),
    encode(speech(1), "libmp3lame", "mp3"),
    encode(speech(1, 44_100), "aac", "ipod", 44_100),
    CLARA.read_bytes(),
    announced(LAYER % ("[2,1,1,4,64]", "[0,2048]"), data_bytes=2048),
]


@given(
    seed=st.sampled_from(SEEDS),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=12)), max_size=6),
    in_header=st.booleans(),
)
@fuzz
@settings(max_examples=150 * FUZZ, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_sent_is_a_voice_or_refused_in_words(
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
        made = clone(model, bytes(data[start:end]), "me")
    except VoiceError as error:
        refusal = str(error)
    assert len(refusal) < 1000
    if made is not None:
        assert 0 < made.voice.positions < 400
        assert made.voice.keys.isfinite().all()
