"""Make a voice from untrusted bytes: a recording in any common format, or a voice file."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from sayline_tts.engine.audio.audio_file import RECORDING_HINT, decode_file
from sayline_tts.engine.audio.prompt_excerpt import find_excerpt
from sayline_tts.engine.audio.recording import MAX_SECONDS, MIN_SECONDS, check_audio, check_level, resample
from sayline_tts.engine.cloning.conditioning import high_pass, level_speech
from sayline_tts.engine.cloning.recording_quality import QualityIssue, Recording, find_issues, find_speech
from sayline_tts.engine.errors import VoiceError
from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.engine.models.voice import Voice, load_voice_file

EXTRA_POSITIONS = 8  # besides those of 30 s of audio: tokens that a model puts before a voice


@dataclass(frozen=True, eq=False)
class ClonedVoice:
    voice: Voice
    duration_s: float  # of the speech that it was made from
    issues: tuple[QualityIssue, ...]


def clone_voice(model: ModelDescription, data: bytes, name: str) -> ClonedVoice:
    """Make a voice, which takes seconds. Raises `VoiceError`, whose message calls the data `name`."""
    if is_voice_file(data):
        return _from_voice_file(model, data, name)
    recording = read_recording(data, name, model.checkpoint.max_prompt_s)
    levelled = level_speech(recording.excerpt, recording.rate_hz)
    voice = model.encode_voice(resample(levelled, recording.rate_hz, model.sample_rate_hz))
    return ClonedVoice(voice, len(levelled) / recording.rate_hz, find_issues(recording))


def is_voice_file(data: bytes) -> bool:
    """Whether the data begins like a safetensors file: with the length of a JSON header. No audio format does."""
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8


def read_recording(data: bytes, name: str, max_prompt_s: float | None = None) -> Recording:
    """Decode an audio file: its first 30 s, without what is below the voice and without silence at the ends.

    `max_prompt_s`: the longest excerpt that the model can take (None: any). Raises `VoiceError`.
    """
    decoded = decode_file(data, name, MAX_SECONDS)
    rate_hz = decoded.rate_hz
    mono = check_audio(decoded.samples, rate_hz, truncate=True, name=name, declared_seconds=decoded.declared_seconds)
    audible = check_level(high_pass(mono, rate_hz), name)
    start, end = find_speech(audible, rate_hz)
    speech = audible[start:end]
    if len(speech) < MIN_SECONDS * rate_hz:
        raise VoiceError(f"{name} has only {len(speech) / rate_hz:.2f} s of sound; {RECORDING_HINT}.")
    return Recording(
        decoded.samples[:, : len(mono)],
        speech,
        rate_hz,
        speech_start=start,
        excerpt_bounds=find_excerpt(speech, rate_hz, max_prompt_s or MAX_SECONDS),
        max_prompt_s=max_prompt_s,
        is_truncated=decoded.samples.shape[1] > len(mono),
    )


def _from_voice_file(model: ModelDescription, data: bytes, name: str) -> ClonedVoice:
    frame_rate = 1000 / model.frame_ms
    max_positions = int(MAX_SECONDS * frame_rate) + EXTRA_POSITIONS
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        path = Path(file.name)
        try:
            voice = load_voice_file(path, model.config.flow_lm.transformer, max_positions)
        except VoiceError as error:  # do not reveal the temporary path
            raise VoiceError(str(error).replace(str(path), name).replace(path.name, name)) from None
    return ClonedVoice(voice, voice.positions / frame_rate, ())
