"""From the bytes that somebody sent to a voice: a recording in any common format, or a voice file. Trusts neither."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from sayline_tts.engine.audio.audio_file import ADVICE, decode_file
from sayline_tts.engine.audio.recording import MAX_SECONDS, MIN_SECONDS, check_audio, resample
from sayline_tts.engine.cloning.recording_quality import Advice, Recording, advise, trim_silence
from sayline_tts.engine.errors import VoiceError
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice, load_voice_file

SPARE_POSITIONS = 8  # beside those of 30 s of audio: what a model puts in front of a voice


@dataclass(frozen=True, eq=False)
class Clone:
    voice: Voice
    duration_s: float  # of the speech that it was made from
    advice: tuple[Advice, ...]


def clone(model: Model, data: bytes, name: str) -> Clone:
    """Takes as long as it takes: seconds. Raises `VoiceError`, with `name` for the data."""
    if is_voice_file(data):
        return _from_voice_file(model, data, name)
    recording = hear(data, name)
    voice = model.encode_voice(resample(recording.speech, recording.rate_hz, model.sample_rate_hz))
    return Clone(voice, recording.seconds, advise(recording))


def is_voice_file(data: bytes) -> bool:
    """By its first bytes, not by what it is called: the length of a header in JSON. No audio begins like this."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def hear(data: bytes, name: str) -> Recording:
    """The recording in an audio file: the first 30 s of it, without silence at its ends."""
    decoded = decode_file(data, name, MAX_SECONDS)
    rate_hz = decoded.rate_hz
    mono = check_audio(decoded.samples, rate_hz, truncate=True, name=name, stated_seconds=decoded.stated_seconds)
    speech, cut_s = trim_silence(mono, rate_hz)
    if len(speech) < MIN_SECONDS * rate_hz:
        raise VoiceError(f"{name} has only {len(speech) / rate_hz:.2f} s that are not silent; {ADVICE}.")
    is_cut_off = decoded.samples.shape[1] > len(mono)
    return Recording(decoded.samples[:, : len(mono)], speech, rate_hz, cut_s, is_cut_off)


def _from_voice_file(model: Model, data: bytes, name: str) -> Clone:
    frame_rate = 1000 / model.frame_ms
    most = int(MAX_SECONDS * frame_rate) + SPARE_POSITIONS
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        path = Path(file.name)
        try:
            voice = load_voice_file(path, model.config.flow_lm.transformer, most)
        except VoiceError as error:  # where the file lies on this machine is nobody's business
            raise VoiceError(str(error).replace(str(path), name).replace(path.name, name)) from None
    return Clone(voice, voice.positions / frame_rate, ())
