"""Plot the losses of trainings as SVG, `python -m training.trainer.curves RUN_FOLDER ...`.

Each reported value gets a small panel with its training and validation curves.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from training import svg

WIDTH, HEIGHT, COLUMNS = 300, 170, 3  # of a panel; panels per row
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 30, 24
TITLE_HEIGHT = 30
POINTS = 300  # maximum per curve; more are averaged
SKIPPED = {"step", "kind", "step_s"}
STYLE = """polyline { fill: none; stroke-width: 1.6 }
.c0 { stroke: var(--blue) } .c1 { stroke: var(--orange) } .c2 { stroke: var(--green) }
text.c0 { fill: var(--blue); stroke: none } text.c1 { fill: var(--orange); stroke: none }
text.c2 { fill: var(--green); stroke: none }
"""

Curve = list[tuple[float, float]]  # step and value


def read_log(path: Path) -> dict[str, dict[str, Curve]]:
    """Curves by name and kind. A step that was repeated after a crash counts once, with its last value."""
    values: dict[str, dict[str, dict[float, float]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        report = json.loads(line)
        for name, value in report.items():
            if name not in SKIPPED:
                values.setdefault(name, {}).setdefault(report["kind"], {})[report["step"]] = value
    return {name: {kind: sorted(curve.items()) for kind, curve in kinds.items()} for name, kinds in values.items()}


def draw(panels: dict[str, dict[str, Curve]], title: str) -> str:
    rows = math.ceil(len(panels) / COLUMNS)
    elements = [svg.text(LEFT, 20, title, css_class="title")]
    for index, (name, curves) in enumerate(panels.items()):
        x, y = index % COLUMNS * WIDTH, TITLE_HEIGHT + index // COLUMNS * HEIGHT
        elements.append(svg.group(x, y, _panel(name, curves)))
    return svg.document(COLUMNS * WIDTH, TITLE_HEIGHT + rows * HEIGHT, title, STYLE, elements)


def _panel(name: str, curves: dict[str, Curve]) -> list[str]:
    curves = {kind: _thin(curve) for kind, curve in curves.items()}
    values = [value for curve in curves.values() for _, value in curve]
    last_step = max(step for curve in curves.values() for step, _ in curve) or 1
    low, high = min(values), _upper_limit(values)
    span = (high - low) or 1.0

    def x(step: float) -> float:
        return LEFT + step / last_step * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - min(value, high)) / span * (HEIGHT - TOP - BOTTOM)

    elements = [svg.text(LEFT, 16, name, css_class="title")]
    for value in (low, (low + high) / 2, high):
        elements.append(svg.line("grid", LEFT, y(value), WIDTH - RIGHT, y(value)))
        elements.append(svg.text(LEFT - 4, y(value) + 4, f"{value:.3g}", "end"))
    elements.append(svg.text(WIDTH - RIGHT, HEIGHT - 8, f"{last_step:g} steps", "end"))
    for number, (kind, curve) in enumerate(curves.items()):
        css_class = f"c{number % 3}"
        elements.append(svg.polyline(css_class, [(x(step), y(value)) for step, value in curve]))
        label = f"{kind} {curve[-1][1]:.3g}"
        elements.append(svg.text(WIDTH - RIGHT, 16 + 12 * number, label, "end", css_class))
    return elements


def _thin(curve: Curve) -> Curve:
    """Average neighbours so that at most `POINTS` points are left."""
    size = math.ceil(len(curve) / POINTS)
    groups = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _upper_limit(values: Sequence[float]) -> float:
    """The top of a panel: a high quantile, because the first values would flatten all others."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.97))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Plot the losses of trainings.")
    parser.add_argument("run", type=Path, nargs="+", help="folder with a log.jsonl; curves.svg is written next to it")
    for run in parser.parse_args().run:
        atomic_write(run / "curves.svg", draw(read_log(run / "log.jsonl"), run.name).encode())


if __name__ == "__main__":
    main()
