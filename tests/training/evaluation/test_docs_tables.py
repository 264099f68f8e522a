"""A page's numbers are written anew, and nothing else of it."""

from pathlib import Path

import pytest

from training.evaluation.docs_tables import fill

PAGE = "before\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\n<!-- /two -->\nafter\n"


def test_what_stands_between_its_marks_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    for text in ("first", "new"):
        fill(page, "one", text)
    assert page.read_text(encoding="utf-8") == PAGE.replace("old", "new")


def test_a_page_without_these_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    with pytest.raises(ValueError, match="unpack"):
        fill(page, "three", "new")
    assert page.read_text(encoding="utf-8") == PAGE
