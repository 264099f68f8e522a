"""Losses of one training as a picture, `python -m training.trainer.curves RUN_FOLDER`: an SVG beside the log.

One small panel for each value that was reported, training and validation in it, on light paper and dark.
"""

import argparse
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from training.data.files import write_whole

WIDTH, HEIGHT, COLUMNS = 300, 170, 3
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 30, 24
POINTS = 300  # of a line, at most: neighbours are averaged
SKIPPED = {"step", "kind", "step_s"}
STYLE = """
svg { background: #ffffff; font: 11px system-ui, sans-serif }
text { fill: #3c4148 } .title { fill: #14171a; font-weight: 600 } .grid { stroke: #e3e6ea }
polyline { fill: none; stroke-width: 1.6 } .l0 { stroke: #1f5fbf } .l1 { stroke: #b3541e } .l2 { stroke: #2f7d4f }
text.l0 { fill: #1f5fbf; stroke: none } text.l1 { fill: #b3541e; stroke: none } text.l2 { fill: #2f7d4f; stroke: none }
@media (prefers-color-scheme: dark) {
  svg { background: #15181c } text { fill: #b4bcc6 } .title { fill: #f1f3f5 } .grid { stroke: #2a2f36 }
  .l0 { stroke: #7db0ff } .l1 { stroke: #f0a06a } .l2 { stroke: #77c99a }
  text.l0 { fill: #7db0ff } text.l1 { fill: #f0a06a } text.l2 { fill: #77c99a }
}
"""

Line = list[tuple[float, float]]


def read_log(path: Path) -> dict[str, dict[str, Line]]:
    """Values by name and kind. A step that was trained again after a crash counts once, as the last time."""
    values: dict[str, dict[str, dict[float, float]]] = {}
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        for name, value in line.items():
            if name not in SKIPPED:
                values.setdefault(name, {}).setdefault(line["kind"], {})[line["step"]] = value
    return {name: {kind: sorted(line.items()) for kind, line in kinds.items()} for name, kinds in values.items()}


def draw(panels: dict[str, dict[str, Line]], title: str) -> str:
    rows = math.ceil(len(panels) / COLUMNS)
    parts = []
    for place, (name, lines) in enumerate(panels.items()):
        x, y = place % COLUMNS * WIDTH, 30 + place // COLUMNS * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_panel(name, lines)}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * WIDTH} {30 + rows * HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}"><style>{STYLE}</style>'
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(name: str, lines: dict[str, Line]) -> str:
    thinned = {kind: _thinned(line) for kind, line in lines.items()}
    values = [value for line in thinned.values() for _, value in line]
    last = max(step for line in thinned.values() for step, _ in line) or 1
    low, high = min(values), _most(values)
    span = (high - low) or 1.0

    def place(step: float, value: float) -> str:
        x = LEFT + step / last * (WIDTH - LEFT - RIGHT)
        y = TOP + (high - min(value, high)) / span * (HEIGHT - TOP - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    parts = [f'<text class="title" x="{LEFT}" y="16">{escape(name)}</text>']
    for value in (low, (low + high) / 2, high):
        y = float(place(0, value).split(",")[1])
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 4}" text-anchor="end">{value:.3g}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">{last:g} steps</text>')
    for number, (kind, line) in enumerate(thinned.items()):
        points = " ".join(place(step, value) for step, value in line)
        parts.append(f'<polyline class="l{number % 3}" points="{points}"/>')
        told = f"{kind} {line[-1][1]:.3g}"
        parts.append(
            f'<text class="l{number % 3}" x="{WIDTH - RIGHT}" y="{16 + 12 * number}" text-anchor="end">{told}</text>'
        )
    return "".join(parts)


def _thinned(line: Line) -> Line:
    size = math.ceil(len(line) / POINTS)
    groups = [line[at : at + size] for at in range(0, len(line), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _most(values: Sequence[float]) -> float:
    """The top of a panel: the very first values are far above all others and would flatten them."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.97))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the losses of a training.")
    parser.add_argument("run", type=Path, nargs="+", help="folders with a log.jsonl; curves.svg is written beside it")
    for run in parser.parse_args().run:
        write_whole(run / "curves.svg", draw(read_log(run / "log.jsonl"), run.name).encode())


if __name__ == "__main__":
    main()
