"""Measure how far a clone depends on the recording's defects, `python -m training.evaluation.recording_variants`.

One recording of the held-out speaker is damaged in several ways and cloned as the server clones it, and as it is,
without conditioning. All clones read the same sentences. Similarity is that of speaker embeddings to the clone of the
clean recording; that clone reading other sentences shows how high it can be.
"""

import argparse
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, resample_poly, sosfilt

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.cloning.cloning import clone_voice
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.tts_model import VoiceState
from training.data.speakers import SAMPLE_RATE_HZ
from training.evaluation.docs_tables import replace_table
from training.evaluation.judges import TEXTS
from training.evaluation.measures import Audio
from training.evaluation.new_speaker import CLIPS, Encoder, recording, wav_file
from training.evaluation.synthesis import CheckpointSynthesizer, SynthesisMode
from training.evaluation.timbre import median_pitch_hz

SECONDS = 4.8  # short enough to be used whole
REFERENCE = "clean"
OTHER_SENTENCES = "clean, other sentences"


def _noise(audio: Audio, snr_db: float) -> Audio:
    noise = np.random.default_rng(0).normal(size=len(audio))
    return np.asarray(audio + noise * np.sqrt(np.mean(audio**2)) * 10 ** (-snr_db / 20), np.float32)


def _sine(audio: Audio, hz: float, amplitude: float) -> Audio:
    return np.asarray(audio + amplitude * np.sin(2 * np.pi * hz * np.arange(len(audio)) / SAMPLE_RATE_HZ), np.float32)


def _to_peak(audio: Audio, dbfs: float) -> Audio:
    return np.asarray(audio * (10 ** (dbfs / 20) / np.abs(audio).max()), np.float32)


def _band_limited(audio: Audio, rate_hz: int) -> Audio:
    factor = SAMPLE_RATE_HZ // rate_hz
    return np.asarray(resample_poly(resample_poly(audio, 1, factor), factor, 1)[: len(audio)], np.float32)


def _silence(audio: Audio, seconds: float) -> Audio:
    return np.pad(audio, round(seconds * SAMPLE_RATE_HZ))


def _telephone_line(audio: Audio) -> Audio:
    sections = butter(4, (300, 3_400), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(sosfilt(sections, audio), np.float32)


def _music(audio: Audio, snr_db: float) -> Audio:
    """Chords of decaying tones under the speech, two a second."""
    time_s = np.arange(len(audio)) / SAMPLE_RATE_HZ
    beat, since_s = np.divmod(time_s, 0.5)
    roots_hz = np.array([220.0, 261.6, 196.0, 246.9])[beat.astype(int) % 4]
    chord = sum(np.sin(2 * np.pi * roots_hz * ratio * time_s) for ratio in (1, 1.25, 1.5, 2))
    music = np.asarray(chord) * np.exp(-3 * since_s)
    return np.asarray(audio + music * np.sqrt(np.mean(audio**2) / np.mean(music**2)) * 10 ** (-snr_db / 20), np.float32)


def _room(audio: Audio, seconds: float) -> Audio:
    """Noise that decays by 60 dB in `seconds`, half as strong as the direct sound."""
    decay = np.random.default_rng(0).normal(size=round(seconds * SAMPLE_RATE_HZ))
    decay *= 10 ** (-3 * np.arange(len(decay)) / len(decay))
    echo = fftconvolve(audio, decay)[: len(audio)]
    return np.asarray(audio + echo * np.sqrt(np.mean(audio**2) / np.mean(echo**2)) / 2, np.float32)


def _pauses(audio: Audio, seconds: float) -> Audio:
    """Three pauses, at the quietest moments that are half a second apart."""
    block = SAMPLE_RATE_HZ // 50
    levels = np.square(audio[: len(audio) // block * block].reshape(-1, block)).mean(axis=1)
    places: list[int] = []
    for place in np.argsort(levels):
        if all(abs(int(place) - other) > 25 for other in places):
            places.append(int(place))
        if len(places) == 3:
            break
    parts = np.split(audio, [place * block for place in sorted(places)])
    pause = np.zeros(round(seconds * SAMPLE_RATE_HZ), np.float32)
    return np.concatenate([*(part for each in parts[:-1] for part in (each, pause)), parts[-1]])


def _coded(audio: Audio, codec: str, container: str, kbit_s: int) -> Audio:
    """Encoded and decoded again."""
    stored = io.BytesIO()
    rate_hz = 48_000  # Opus knows no other that both take
    samples = np.asarray(resample_poly(audio, 2, 1) * 32767, np.int16)
    with av.open(stored, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate, stream.layout = kbit_s * 1000, "mono"
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for part in (frame, None):
            output.mux(stream.encode(part))
    stored.seek(0)
    with av.open(stored, "r") as encoded:
        resampler = av.AudioResampler("fltp", "mono", SAMPLE_RATE_HZ)
        frames = [each for frame in encoded.decode(audio=0) for each in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float32)


VARIANTS: dict[str, Callable[[Audio], Audio]] = {
    REFERENCE: lambda audio: audio,
    "peak at -15 dBFS": lambda audio: _to_peak(audio, -15),
    "peak at -30 dBFS": lambda audio: _to_peak(audio, -30),
    "peak at -45 dBFS": lambda audio: _to_peak(audio, -45),
    "DC offset of 5 %": lambda audio: np.asarray(audio + 0.05, np.float32),
    "rumble of 25 Hz": lambda audio: _sine(audio, 25, 0.1),
    "hum of 50 Hz": lambda audio: _sine(audio, 50, 0.02),
    "2 s of silence at both ends": lambda audio: _silence(audio, 2),
    "clipped by 6 dB": lambda audio: np.asarray(np.clip(2 * audio / np.abs(audio).max(), -1, 1), np.float32),
    "noise, 30 dB": lambda audio: _noise(audio, 30),
    "noise, 20 dB": lambda audio: _noise(audio, 20),
    "noise, 10 dB": lambda audio: _noise(audio, 10),
    "hum of 100 Hz": lambda audio: _sine(audio, 100, 0.02),
    "music, 20 dB": lambda audio: _music(audio, 20),
    "music, 10 dB": lambda audio: _music(audio, 10),
    "echo of a room, 0.4 s": lambda audio: _room(audio, 0.4),
    "three pauses of 1 s": lambda audio: _pauses(audio, 1.0),
    "MP3, 32 kbit/s": lambda audio: _coded(audio, "libmp3lame", "mp3", 32),
    "Opus, 16 kbit/s": lambda audio: _coded(audio, "libopus", "ogg", 16),
    "telephone (8 kHz)": lambda audio: _band_limited(audio, 8_000),
    "telephone line (300 to 3,400 Hz)": _telephone_line,
}


@dataclass(frozen=True)
class Likeness:
    """Similarity to the clone of the clean recording, and its pitch relative to that, in semitones."""

    similarity: float
    semitones: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Compares clones with the clone of the clean recording."""

    encoder: Encoder
    reference: Sequence[Audio]

    def likeness(self, speech: Sequence[Audio]) -> Likeness:
        embeddings = [self.encoder.embed(clips, SAMPLE_RATE_HZ) for clips in (self.reference, speech)]
        pitches_hz = [median_pitch_hz(clips, SAMPLE_RATE_HZ) for clips in (self.reference, speech)]
        return Likeness(float(embeddings[0] @ embeddings[1]), float(12 * np.log2(pitches_hz[1] / pitches_hz[0])))


def measure(config: Path, count: int) -> dict[str, dict[str, Likeness]]:
    """For each variant the likeness of its clone: as the server makes it, and without conditioning."""
    from training.evaluation.speaker_embedding import SpeakerEncoder  # needs optional packages

    texts = TEXTS["sentences"].read_text(encoding="utf-8").splitlines()
    clean = recording(CLIPS.read_text(encoding="utf-8").splitlines(), SECONDS)
    synthesizer = CheckpointSynthesizer(config, SynthesisMode("variants", precision="auto"))
    model = synthesizer.model._model

    def say(voice: Voice, first: int = 0) -> list[NDArray[np.float32]]:
        return synthesizer.synthesize_all(texts[first : first + count], [VoiceState(voice)] * count)

    conditioned, plain = clone_voice(model, wav_file(clean), REFERENCE).voice, model.encode_voice(clean)
    encoder = SpeakerEncoder.pretrained()
    comparisons = [Comparison(encoder, say(voice)) for voice in (conditioned, plain)]
    measured = {
        OTHER_SENTENCES: {
            name: comparison.likeness(say(voice, count))
            for name, comparison, voice in zip(("server", "plain"), comparisons, (conditioned, plain), strict=True)
        }
    }
    for variant, damage in VARIANTS.items():
        damaged = damage(clean)
        voices = clone_voice(model, wav_file(damaged), variant).voice, model.encode_voice(damaged)
        measured[variant] = {
            name: comparison.likeness(say(voice))
            for name, comparison, voice in zip(("server", "plain"), comparisons, voices, strict=True)
        }
    return measured


def table(measured: dict[str, dict[str, Likeness]]) -> str:
    lines = [
        "| recording | similarity | pitch, semitones | without conditioning | pitch, semitones |",
        "|---|---|---|---|---|",
    ]
    for variant, ways in measured.items():
        cells = [cell for way in ways.values() for cell in (f"{way.similarity:.2f}", f"{way.semitones:+.1f}")]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how far a clone depends on defects of the recording.")
    parser.add_argument("--config", type=Path, default=EMBEDDED / "config.yaml", help="config of the checkpoint")
    parser.add_argument("--sentences", type=int, default=4, help="sentences that each clone reads")
    parser.add_argument("--out", type=Path, default=Path("recording-variants.json"), help="JSON file of the results")
    parser.add_argument("--table", type=Path, help="Markdown page whose table is updated (docs/embedded-voice.md)")
    args = parser.parse_args()
    measured = measure(args.config, args.sentences)
    plain = {variant: {name: vars(way) for name, way in ways.items()} for variant, ways in measured.items()}
    args.out.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    if args.table:
        replace_table(args.table, "recordings", table(measured))
    print(table(measured))


if __name__ == "__main__":
    main()
