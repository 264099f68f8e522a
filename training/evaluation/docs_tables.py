"""Pages of `docs/` whose numbers commands write: each of them between marks of its own."""

from pathlib import Path


def fill(page: Path, name: str, text: str) -> None:
    """Between `<!-- name -->` and `<!-- /name -->`. Raises `ValueError` where the page has no such marks."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
