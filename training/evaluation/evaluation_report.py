"""Reports of an evaluation: the table of docs/embedded-voice.md, and spectrograms of teacher and model."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.speakers import SAMPLE_RATE_HZ
from training.evaluation.measures import Audio, log_mel

PICTURES = 4
ZOOM = 3  # pixels per band
GAP = 6  # pixels between teacher and model
RANGE = 12.0  # natural log of power, from black to white

# Key in the JSON, heading, format.
COLUMNS = (
    ("word_error_rate", "word errors", "{:.1%}"),
    ("p808", "DNSMOS P.808", "{:.2f}"),
    ("overall", "DNSMOS overall", "{:.2f}"),
    ("length_right", "duration within 15 %", "{:.1%}"),
    ("without_end", "runaway", "{}"),
    ("cut_short", "cut short", "{}"),
    ("voice_right", "correct voice", "{:.1%}"),
)
# Heading, key of the texts, key of the measure.
TEXT_COLUMNS = (
    ("single words heard right", "short", "without_errors"),
    ("like clauses: word errors", "long", "word_error_rate"),
    ("with a clause left out", "long", "skipped_clauses"),
)


def table(result: dict[str, Any]) -> str:
    """Markdown of an evaluation: the sentences, the texts that small models fail on, and a summary."""
    lines = ["| | " + " | ".join(heading for _, heading, _ in COLUMNS) + " |", "|---|" + "---|" * len(COLUMNS)]
    for name, measured in result["rows"].items():
        cells = [form.format(measured[key]) if key in measured else "" for key, _, form in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if "short" in result:
        lines += ["", "| | " + " | ".join(heading for heading, *_ in TEXT_COLUMNS) + " |", "|---|---|---|---|"]
        for name in result["short"]:
            cells = [_text_cell(result[texts][name], measure) for _, texts, measure in TEXT_COLUMNS]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _summary(result)])


def _text_cell(measured: dict[str, Any], measure: str) -> str:
    if measure == "word_error_rate":
        return f"{measured[measure]:.1%}"
    return f"{measured[measure]} of {measured['sentences']}"


def _summary(result: dict[str, Any]) -> str:
    rows = list(result["rows"].values())
    sentences = [f"{result['sentences']} sentences, word errors by {result['recognizer']}."]
    if "usual" in result["rows"]:
        ratio = result["rows"]["usual"]["word_error_rate"] / max(rows[0]["word_error_rate"], 1e-9)
        sentences.append(f"The word error rate is {ratio:.2f} times the teachers'.")
    if "speed" in result:
        speed = result["speed"]
        sentences.append(
            f"Speed for one listener on two cores: {speed['times_real_time']:.1f} times real time, first audio after "
            f"{speed['first_sound_ms']:.0f} ms. Size: {result['megabytes']:.1f} MB."
        )
    return " ".join(sentences)


def write_pictures(folder: Path, spoken: Sequence[tuple[str, Audio, Audio]]) -> None:
    """Write spectrograms of the first sentences, the teacher's above the model's."""
    for number, (_, teacher, model) in enumerate(spoken[:PICTURES], 1):
        pictures = [spectrogram(teacher), spectrogram(model)]
        width = max(picture.shape[1] for picture in pictures)
        padded = [np.pad(picture, ((0, GAP), (0, width - picture.shape[1]))) for picture in pictures]
        (folder / f"spectrogram-{number}.png").write_bytes(png(np.concatenate(padded)[:-GAP]))


def spectrogram(audio: Audio) -> NDArray[np.uint8]:
    """A gray-scale spectrogram: low frequencies at the bottom, 10 ms per column."""
    bands = log_mel(audio, SAMPLE_RATE_HZ)
    light = np.clip((bands - bands.max() + RANGE) / RANGE, 0, 1) * 255
    return np.kron(light.T[::-1], np.ones((ZOOM, 1))).astype(np.uint8)


def png(gray: NDArray[np.uint8]) -> bytes:
    """Encode a gray-scale image `[height, width]` as PNG."""
    height, width = gray.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), gray], axis=1)  # each row starts with its filter type, 0

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
