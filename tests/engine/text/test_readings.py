"""The tables of readings: the whole text, single characters, three messages, and offsets."""

import pytest

from sayline_tts.engine.text.chunk import TextChunk
from tests.engine.text.readings import KINDS
from tests.engine.text.readings_page import page_tables, tables
from tests.engine.text.texts import check_offsets, read, split_at

CASES = [
    pytest.param(language, written, spoken, id=f"{kind.title}-{language}-{written}")
    for kind in KINDS
    for by_language in (kind.changed, kind.kept)
    for language, rows in by_language.items()
    for written, spoken in rows
]


@pytest.mark.parametrize(("language", "written", "spoken"), CASES)
def test_text_is_read_as_the_table_shows(language: str, written: str, spoken: str) -> None:
    items = read(written, language=language)
    assert " | ".join(item.spoken for item in items if isinstance(item, TextChunk)) == spoken
    check_offsets(written, items)
    assert read(*written, language=language) == items
    assert read(*split_at(written, [len(written) // 3, len(written) * 2 // 3]), language=language) == items


def test_rows_are_unique() -> None:
    rows = [(case.values[0], case.values[1]) for case in CASES]
    assert len(set(rows)) == len(rows)


def test_page_shows_the_tables() -> None:
    command = "python -m tests.engine.text.readings_page"
    assert page_tables() == f"{tables()}\n", f"docs/reading.md is not up to date; run `{command}`"
