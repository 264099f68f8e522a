"""Replacing generated tables in a page."""

from pathlib import Path

import pytest

from training.evaluation.docs_tables import replace_table

PAGE = "before\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\n<!-- /two -->\nafter\n"


def test_text_between_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    for text in ("first", "new"):
        replace_table(page, "one", text)
    assert page.read_text(encoding="utf-8") == PAGE.replace("old", "new")


def test_page_without_markers_is_unchanged(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    with pytest.raises(ValueError, match="unpack"):
        replace_table(page, "three", "new")
    assert page.read_text(encoding="utf-8") == PAGE
