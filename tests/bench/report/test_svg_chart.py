import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from sayline_tts.bench.engine_times import StepTime
from sayline_tts.bench.report.svg_chart import draw_steps

STEPS = [StepTime(rows, 8 + 1.6 * rows, 6 + 0.4 * rows, 3 + 1.3 * rows) for rows in (1, 2, 4, 8, 16, 64)]
SVG = "{http://www.w3.org/2000/svg}"


def drawn(steps: list[StepTime]) -> ET.Element:
    return ET.fromstring(draw_steps(steps, 80.0, "A & B"))


def test_chart_has_three_lines_and_units() -> None:
    picture = drawn(STEPS)
    assert len(picture.findall(f"{SVG}polyline")) == 3
    output_tail = [element.text for element in picture.iter(f"{SVG}text")]
    assert {"A & B", "ms", "listeners in the batch", "one frame, 80 ms", "step 110 ms"} <= set(output_tail)


def test_chart_supports_light_and_dark_backgrounds() -> None:
    assert "prefers-color-scheme: dark" in draw_steps(STEPS, 80.0, "")


@pytest.mark.parametrize("steps", [STEPS, STEPS[:1], [StepTime(256, 4000, 1, 3999)]])
def test_everything_is_inside_the_view_box(steps: list[StepTime]) -> None:
    for line in drawn(steps).findall(f"{SVG}polyline"):
        for point in line.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 720
            assert 0 <= y <= 420


def test_labels_do_not_overlap() -> None:
    same = drawn([StepTime(1, 5, 5, 5), StepTime(2, 5, 5, 5)])
    places = sorted(float(e.attrib["y"]) for e in same.iter(f"{SVG}text") if e.attrib.get("class") in ("a", "b", "c"))
    assert all(below - above >= 16 for above, below in pairwise(places))
