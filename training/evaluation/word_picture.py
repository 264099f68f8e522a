"""One sentence as an SVG: where the model looks, its sound, and the words' times, as told and as they are."""

from collections.abc import Sequence
from html import escape

import numpy as np

from training.evaluation.spoken_words import SpokenWords
from training.evaluation.word_times import Time

WIDTH, LEFT, RIGHT, TOP = 960, 130, 16, 48
ROW, WAVE, LANE, GAP = 20, 70, 22, 12  # heights: of a word's attention, of the sound, of a row of words
FAINT = 0.03  # attention that is not drawn
SLICE_MS = 5.0  # of sound, a line each
STYLE = """
svg { background: #ffffff; font: 13px system-ui, sans-serif }
text { fill: #3c4148 } .title { fill: #14171a; font-size: 15px; font-weight: 600 }
.look { fill: #1f5fbf } .wave { stroke: #8a929c; stroke-width: 1.2; fill: none } .axis { stroke: #8a929c }
.told { fill: #1f5fbf; fill-opacity: 0.25; stroke: #1f5fbf }
.true { fill: #b3541e; fill-opacity: 0.25; stroke: #b3541e }
.mark { stroke: #1f5fbf; stroke-opacity: 0.5; stroke-dasharray: 2 3 }
@media (prefers-color-scheme: dark) {
  svg { background: #15181c } text { fill: #b4bcc6 } .title { fill: #f1f3f5 }
  .look { fill: #7db0ff } .wave { stroke: #6b7480 } .axis { stroke: #6b7480 } .mark { stroke: #7db0ff }
  .told { fill: #7db0ff; stroke: #7db0ff } .true { fill: #f0a06a; stroke: #f0a06a }
}
"""


def draw_words(said: SpokenWords, truth: Sequence[Time], rate_hz: int) -> str:
    sound = said.sound
    ms_x = (WIDTH - LEFT - RIGHT) / (1000 * len(sound) / rate_hz)

    def x(ms: float) -> float:
        return LEFT + ms * ms_x

    wave_y = TOP + ROW * len(said.words) + GAP
    told_y = wave_y + WAVE + GAP
    true_y = told_y + LANE + GAP
    axis_y = true_y + LANE + GAP
    height = axis_y + 40
    lines = [f'<text class="title" x="{LEFT}" y="26">{escape(said.text)}</text>']
    lines += [_text(LEFT - 8, TOP + ROW * (row + 0.7), word, "end") for row, word in enumerate(said.spoken)]
    lines += _looks(said, ms_x)
    lines += [_line("mark", x(start_ms), TOP, told_y) for start_ms, _ in said.told]
    lines += [_wave(sound, rate_hz, ms_x, wave_y + WAVE / 2)]
    for style, label, y, times in (("told", "told", told_y, said.told), ("true", "forced alignment", true_y, truth)):
        lines.append(_text(LEFT - 8, y + LANE * 0.7, label, "end"))
        for word, (start_ms, end_ms) in zip(said.spoken, times, strict=True):
            lines.append(_box(style, x(start_ms), y, (end_ms - start_ms) * ms_x, LANE, 1.0))
            lines.append(_text(x((start_ms + end_ms) / 2), y + LANE * 0.7, word, "middle"))
    for second in range(int(len(sound) / rate_hz * 2) + 1):
        lines += [_line("axis", x(second * 500), axis_y, axis_y + 5), _text(x(second * 500), axis_y + 20,
                  f"{second / 2:g} s", "middle")]  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(said.text, quote=True)}"><style>{STYLE}</style>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )


def _looks(said: SpokenWords, ms_x: float) -> list[str]:
    """A box for each frame and each word that is looked at in it."""
    boxes, row = [], 0
    for part in said.parts:
        for frame, weights in enumerate(part.by_word()):
            left = LEFT + (part.start_ms + frame * part.frame_ms) * ms_x
            for word in np.flatnonzero(weights > FAINT).tolist():
                top = TOP + ROW * (row + word)
                boxes.append(_box("look", left, top, part.frame_ms * ms_x, ROW, float(weights[word])))
        row += len(part.segment.words)
    return boxes


def _wave(sound: np.ndarray, rate_hz: int, ms_x: float, middle: float) -> str:
    size = round(SLICE_MS / 1000 * rate_hz)
    slices = sound[: len(sound) // size * size].reshape(-1, size)
    loudest = max(float(np.abs(sound).max()), 1e-6)
    moves = [
        f"M{LEFT + place * SLICE_MS * ms_x:.1f} {middle - high / loudest * WAVE / 2:.1f}"
        f"V{middle - low / loudest * WAVE / 2:.1f}"
        for place, (low, high) in enumerate(zip(slices.min(axis=1), slices.max(axis=1), strict=True))
    ]
    return f'<path class="wave" d="{"".join(moves)}"/>'


def _box(style: str, left: float, top: float, width: float, height: float, share: float) -> str:
    see = f' opacity="{share:.2f}"' if share < 1 else ""
    return f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"{see}/>'


def _line(style: str, x: float, top: float, bottom: float) -> str:
    return f'<line class="{style}" x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
