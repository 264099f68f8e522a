"""SVG elements for the charts of trainings and evaluations, readable on light and on dark backgrounds.

The charts are written by hand, so that a plotting library is no dependency. The benchmark's chart has a module of its
own, because the installed package cannot import `training`, and `training` must not import the benchmark.
"""

from collections.abc import Iterable
from html import escape

LIGHT = {"background": "#ffffff", "text": "#3c4148", "title": "#14171a", "grid": "#e3e6ea", "axis": "#8a929c",
         "blue": "#1f5fbf", "orange": "#b3541e", "green": "#2f7d4f"}  # fmt: skip
DARK = {"background": "#15181c", "text": "#b4bcc6", "title": "#f1f3f5", "grid": "#2a2f36", "axis": "#6b7480",
        "blue": "#7db0ff", "orange": "#f0a06a", "green": "#77c99a"}  # fmt: skip


def document(width: float, height: float, title: str, style: str, elements: Iterable[str]) -> str:
    """A complete SVG. `style`: CSS with colours as variables, such as `var(--blue)`; see `LIGHT` for their names."""
    css = (
        f"svg {{ {_variables(LIGHT)}; background: var(--background); font: 12px system-ui, sans-serif }}\n"
        f"@media (prefers-color-scheme: dark) {{ svg {{ {_variables(DARK)} }} }}\n"
        "text { fill: var(--text) } .title { fill: var(--title); font-weight: 600 } .grid { stroke: var(--grid) } "
        ".axis { stroke: var(--axis) }\n" + style
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title, quote=True)}"><style>\n{css}</style>\n'
        + "\n".join(elements)
        + "\n</svg>\n"
    )


def text(x: float, y: float, content: str, anchor: str = "start", css_class: str = "") -> str:
    attribute = f' class="{css_class}"' if css_class else ""
    return f'<text{attribute} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def line(css_class: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{css_class}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def rect(css_class: str, x: float, y: float, width: float, height: float, opacity: float = 1.0) -> str:
    attribute = f' opacity="{opacity:.2f}"' if opacity < 1 else ""
    return f'<rect class="{css_class}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"{attribute}/>'


def polyline(css_class: str, points: Iterable[tuple[float, float]]) -> str:
    return f'<polyline class="{css_class}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def group(x: float, y: float, elements: Iterable[str]) -> str:
    """Elements moved by an offset."""
    return f'<g transform="translate({x} {y})">{"".join(elements)}</g>'


def _variables(colours: dict[str, str]) -> str:
    return "; ".join(f"--{name}: {value}" for name, value in colours.items())
