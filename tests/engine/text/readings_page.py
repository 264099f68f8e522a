"""The tables of `docs/reading.md`. `python -m tests.engine.text.readings_page` writes them into the page."""

from collections.abc import Iterator
from pathlib import Path

from tests.engine.text.normalization.test_english import PAIRS
from tests.engine.text.readings import KINDS, Rows

PAGE = Path(__file__).parents[3] / "docs" / "reading.md"
_BEGIN, _END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"
_LANGUAGES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
}


def tables() -> str:
    """Return all tables as Markdown."""
    lines: list[str] = []
    for kind in KINDS:
        lines += [f"### {kind.title}", "", *_table(kind.changed)]
        lines += ["Similar text that is of another kind:", "", *_table(kind.kept)]
    lines += ["### Numbers, units, abbreviations and symbols", "", *_table({"en": PAIRS})]
    return "\n".join(lines)


def page_tables() -> str:
    """Return the tables of the page."""
    return PAGE.read_text(encoding="utf-8").partition(_BEGIN)[2].partition(_END)[0]


def _table(rows_by_language: dict[str, Rows]) -> list[str]:
    rows = [row for language, rows in rows_by_language.items() for row in _rows(_LANGUAGES[language], rows)]
    return ["| language | written | spoken |", "|---|---|---|", *rows, ""]


def _rows(language: str, rows: Rows) -> Iterator[str]:
    for written, spoken in rows:
        text = " <br> ".join(_cell(chunk) for chunk in spoken.split(" | ")) if spoken else "(silent)"
        yield f"| {language} | {_code(written)} | {text} |"


def _code(text: str) -> str:
    fence = "```" if "``" in text else "``" if "`" in text else "`"
    space = " " if "`" in text else ""
    visible = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return f"{fence}{space}{visible}{space}{fence}".replace("|", "\\|")


def _cell(text: str) -> str:
    for char in "\\<>*_`|":
        text = text.replace(char, f"\\{char}")
    return text


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    PAGE.write_text(f"{before}{_BEGIN}{tables()}\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")
