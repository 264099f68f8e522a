"""Chart of one sentence as SVG: attention per word, waveform, reported and reference timestamps."""

from collections.abc import Sequence

import numpy as np

from training import svg
from training.evaluation.forced_alignment import Interval
from training.evaluation.timestamped_synthesis import TimestampedSpeech

WIDTH, LEFT, RIGHT, TOP = 960, 130, 16, 48
ROW_HEIGHT, WAVEFORM_HEIGHT, LANE_HEIGHT, GAP = 20, 70, 22, 12  # of a word's attention, of a row of timestamps
MIN_ATTENTION = 0.03  # weaker attention is not drawn
SLICE_MS = 5.0  # of audio per vertical stroke of the waveform
TICK_MS = 500
STYLE = """text { font-size: 13px } .title { font-size: 15px }
.attention { fill: var(--blue) } .waveform { stroke: var(--axis); stroke-width: 1.2; fill: none }
.reported { fill: var(--blue); fill-opacity: 0.25; stroke: var(--blue) }
.reference { fill: var(--orange); fill-opacity: 0.25; stroke: var(--orange) }
.start { stroke: var(--blue); stroke-opacity: 0.5; stroke-dasharray: 2 3 }
"""


def draw_words(speech: TimestampedSpeech, reference: Sequence[Interval], rate_hz: int) -> str:
    audio = speech.audio
    ms_width = (WIDTH - LEFT - RIGHT) / (1000 * len(audio) / rate_hz)

    def x(ms: float) -> float:
        return LEFT + ms * ms_width

    waveform_y = TOP + ROW_HEIGHT * len(speech.words) + GAP
    reported_y = waveform_y + WAVEFORM_HEIGHT + GAP
    reference_y = reported_y + LANE_HEIGHT + GAP
    axis_y = reference_y + LANE_HEIGHT + GAP
    elements = [svg.text(LEFT, 26, speech.text, css_class="title")]
    for row, word in enumerate(speech.spoken):
        elements.append(svg.text(LEFT - 8, TOP + ROW_HEIGHT * (row + 0.7), word, "end"))
    elements += _attention(speech, ms_width)
    elements += [svg.line("start", x(start_ms), TOP, x(start_ms), reported_y) for start_ms, _ in speech.reported]
    elements.append(_waveform(audio, rate_hz, ms_width, waveform_y + WAVEFORM_HEIGHT / 2))
    for css_class, label, y, times in (
        ("reported", "reported", reported_y, speech.reported),
        ("reference", "forced alignment", reference_y, reference),
    ):
        elements.append(svg.text(LEFT - 8, y + LANE_HEIGHT * 0.7, label, "end"))
        for word, (start_ms, end_ms) in zip(speech.spoken, times, strict=True):
            elements.append(svg.rect(css_class, x(start_ms), y, (end_ms - start_ms) * ms_width, LANE_HEIGHT))
            elements.append(svg.text(x((start_ms + end_ms) / 2), y + LANE_HEIGHT * 0.7, word, "middle"))
    for tick in range(int(1000 * len(audio) / rate_hz / TICK_MS) + 1):
        tick_x = x(tick * TICK_MS)
        elements.append(svg.line("axis", tick_x, axis_y, tick_x, axis_y + 5))
        elements.append(svg.text(tick_x, axis_y + 20, f"{tick * TICK_MS / 1000:g} s", "middle"))
    return svg.document(WIDTH, axis_y + 40, speech.text, STYLE, elements)


def _attention(speech: TimestampedSpeech, ms_width: float) -> list[str]:
    """A rectangle for each frame and each word attended to in it; the opacity is the attention."""
    rectangles, row = [], 0
    for segment in speech.segments:
        for frame, weights in enumerate(segment.word_attention()):
            left = LEFT + (segment.start_ms + frame * segment.frame_ms) * ms_width
            for word in np.flatnonzero(weights > MIN_ATTENTION).tolist():
                top = TOP + ROW_HEIGHT * (row + word)
                width = segment.frame_ms * ms_width
                rectangles.append(svg.rect("attention", left, top, width, ROW_HEIGHT, float(weights[word])))
        row += len(segment.segment.words)
    return rectangles


def _waveform(audio: np.ndarray, rate_hz: int, ms_width: float, middle_y: float) -> str:
    size = round(SLICE_MS / 1000 * rate_hz)
    slices = audio[: len(audio) // size * size].reshape(-1, size)
    peak = max(float(np.abs(audio).max()), 1e-6)
    strokes = [
        f"M{LEFT + index * SLICE_MS * ms_width:.1f} {middle_y - high / peak * WAVEFORM_HEIGHT / 2:.1f}"
        f"V{middle_y - low / peak * WAVEFORM_HEIGHT / 2:.1f}"
        for index, (low, high) in enumerate(zip(slices.min(axis=1), slices.max(axis=1), strict=True))
    ]
    return f'<path class="waveform" d="{"".join(strokes)}"/>'
