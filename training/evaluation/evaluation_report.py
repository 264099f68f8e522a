"""What was measured, for people: the table of docs/embedded-voice.md and spectrograms of teacher and model."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.speakers import SAMPLE_RATE
from training.evaluation.measures import Sound, log_mel

PICTURES = 4
ZOOM = 3  # pixels for each band
GAP = 6  # pixels between teacher and model
RANGE = 12.0  # natural logarithms of power from black to white

# Name in the JSON, heading, how it is written.
COLUMNS = (
    ("word_error_rate", "word errors", "{:.1%}"),
    ("word_error_rate_by_sound", "by sound alone", "{:.1%}"),
    ("length_right", "length within 15 %", "{:.1%}"),
    ("without_end", "without end", "{}"),
    ("cut_short", "cut short", "{}"),
    ("voice_right", "right voice", "{:.1%}"),
    ("cepstral_db", "spectral distance, dB", "{:.2f}"),
    ("pitch_correlation", "pitch follows", "{:.2f}"),
    ("pitch_semitones", "pitch off, semitones", "{:.2f}"),
)


def table(result: dict[str, Any]) -> str:
    lines = ["| | " + " | ".join(heading for _, heading, _ in COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    for name, measured in result.items():
        if isinstance(measured, dict) and "word_error_rate" in measured:
            cells = [form.format(measured[key]) if key in measured else "" for key, _, form in COLUMNS]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = "\n".join(lines)
    if "usual" in result:
        ratio = result["usual"]["word_error_rate"] / result["teacher"]["word_error_rate"]
        text += f"\n\nWord errors are {ratio:.2f} times the teachers', on {result['sentences']} sentences."
    if "speed" in result:
        speed = result["speed"]
        text += f" {speed['times_real_time']:.1f} times real time for one listener on two cores,"
        text += f" first sound after {speed['first_sound_ms']:.0f} ms."
    return text


def write_pictures(folder: Path, spoken: Sequence[tuple[str, Sound, Sound]]) -> None:
    """The first sentences: the teacher above, the model below."""
    for number, (_, teacher, model) in enumerate(spoken[:PICTURES], 1):
        pictures = [spectrogram(teacher), spectrogram(model)]
        width = max(picture.shape[1] for picture in pictures)
        padded = [np.pad(picture, ((0, GAP), (0, width - picture.shape[1]))) for picture in pictures]
        (folder / f"spectrogram-{number}.png").write_bytes(png(np.concatenate(padded)[:-GAP]))


def spectrogram(sound: Sound) -> NDArray[np.uint8]:
    """Gray, low tones below, 10 ms a column."""
    bands = log_mel(sound, SAMPLE_RATE)
    light = np.clip((bands - bands.max() + RANGE) / RANGE, 0, 1) * 255
    return np.kron(light.T[::-1], np.ones((ZOOM, 1))).astype(np.uint8)


def png(gray: NDArray[np.uint8]) -> bytes:
    """A gray picture `[height, width]` as a file."""
    height, width = gray.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), gray], axis=1)  # each begins with its filter, none

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
