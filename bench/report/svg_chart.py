"""Draw step time against batch size as an SVG for light and dark backgrounds.

Written directly, because users of `sayline bench` do not have a plotting library installed.
"""

import math
from collections.abc import Sequence
from html import escape
from itertools import pairwise

from sayline_tts.bench.engine_times import StepTime

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 132, 56, 56
LINES = (("step_ms", "step", "a"), ("flow_ms", "FlowLM", "b"), ("codec_ms", "codec", "c"))
STYLE = """
svg { background: #ffffff; font: 13px system-ui, sans-serif }
text { fill: #3c4148 } .title { fill: #14171a; font-size: 15px; font-weight: 600 }
.grid { stroke: #e3e6ea } .axis { stroke: #8a929c } .budget { stroke: #8a929c; stroke-dasharray: 5 4 }
polyline { fill: none; stroke-width: 2.2 }
.a { stroke: #1f5fbf; fill: #1f5fbf } .b { stroke: #b3541e; fill: #b3541e } .c { stroke: #2f7d4f; fill: #2f7d4f }
polyline.a, polyline.b, polyline.c { fill: none } text.a, text.b, text.c { stroke: none }
@media (prefers-color-scheme: dark) {
  svg { background: #15181c } text { fill: #b4bcc6 } .title { fill: #f1f3f5 }
  .grid { stroke: #2a2f36 } .axis { stroke: #6b7480 } .budget { stroke: #6b7480 }
  .a { stroke: #7db0ff; fill: #7db0ff } .b { stroke: #f0a06a; fill: #f0a06a } .c { stroke: #77c99a; fill: #77c99a }
}
"""


def draw_steps(steps: Sequence[StepTime], frame_ms: float, title: str) -> str:
    """Return the SVG: the three times, and the frame duration as the limit."""
    most_rows = max(step.rows for step in steps)
    most_ms = max(frame_ms, *(step.step_ms for step in steps))
    x_step, y_step = _round_step(most_rows / 8), _round_step(most_ms / 6)
    most_ms = math.ceil(most_ms * 1.02 / y_step) * y_step

    def x(rows: float) -> float:
        return LEFT + rows / most_rows * (WIDTH - LEFT - RIGHT)

    def y(ms: float) -> float:
        return HEIGHT - BOTTOM - ms / most_ms * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text class="title" x="{LEFT}" y="26">{escape(title)}</text>']
    for ms in _ticks(y_step, most_ms):
        parts.append(_line("grid", x(0), y(ms), x(most_rows), y(ms)))
        parts.append(_text(x(0) - 8, y(ms) + 4, f"{ms:g}", "end"))
    for rows in _ticks(max(1, x_step), most_rows):
        parts.append(_line("axis", x(rows), y(0), x(rows), y(0) + 5))
        parts.append(_text(x(rows), y(0) + 20, f"{rows:g}", "middle"))
    parts.append(_line("axis", x(0), y(0), x(most_rows), y(0)))
    parts.append(_line("budget", x(0), y(frame_ms), x(most_rows), y(frame_ms)))
    parts.append(_text(x(0) + 6, y(frame_ms) - 6, f"one frame, {frame_ms:g} ms", "start"))
    parts.append(_text(x(most_rows / 2), HEIGHT - 14, "listeners in the batch", "middle"))
    parts.append(_text(x(0) - 8, TOP - 12, "ms", "end"))
    ends = _spread_labels([y(getattr(steps[-1], name)) for name, _, _ in LINES])
    for (name, label, style), end in zip(LINES, ends, strict=True):
        points = [(x(step.rows), y(getattr(step, name))) for step in steps]
        parts.append(f'<polyline class="{style}" points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in points)}"/>')
        parts += [f'<circle class="{style}" cx="{px:.1f}" cy="{py:.1f}" r="2.6"/>' for px, py in points]
        label_text = f"{label} {getattr(steps[-1], name):.0f} ms"
        parts.append(f'<text class="{style}" x="{x(most_rows) + 10:.1f}" y="{end + 4:.1f}">{label_text}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title, quote=True)}"><style>{STYLE}</style>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _round_step(rough: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= rough * 0.999)


def _ticks(step: float, most: float) -> list[float]:
    return [step * count for count in range(math.floor(most / step + 1e-9) + 1)]


def _spread_labels(places: list[float], least: float = 16) -> list[float]:
    """Move overlapping labels down."""
    moved = list(places)
    order = sorted(range(len(places)), key=lambda index: places[index])
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + least)
    return moved


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, content: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'
