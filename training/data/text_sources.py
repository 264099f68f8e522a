"""Natural English sentences from local files: Debian's `fortunes` and the docstrings of Python packages.

Splits text into sentences; `training.data.text` decides which of them are usable.
"""

import ast
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

FORTUNES = Path("/usr/share/games/fortunes")
NOT_PROSE = {"art", "ascii-art", "translate-me", "tao"}

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(]?[A-Z])")
_ATTRIBUTION = re.compile(r"\s*(--|\u2014)\s.*", re.DOTALL)
_SPEAKER = re.compile(r"^\s*([A-Z][A-Za-z. ]{0,20}|\d+|[QA]):\s+")
_CODE = re.compile(r"[`=<>{}\[\]|\\_*#@/~^+]|::|\.\.")


def fortunes(folder: Path = FORTUNES) -> Iterator[str]:
    """Sentences of the fortune files, without attributions."""
    for path in sorted(folder.glob("*")):
        if path.suffix or path.name in NOT_PROSE or not path.is_file():
            continue
        for fortune in re.split(r"^%.*$", path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE):
            text = _ATTRIBUTION.sub("", re.sub(r"-\n\s*(?=[a-z])", "", fortune))
            for paragraph in re.split(r"\n\s*\n|\n(?=[A-Z][a-z]+:)", text):
                yield from sentences(paragraph)


def documentation(folder: Path | None = None) -> Iterator[str]:
    """Sentences of docstrings: of the standard library, or of all Python files in `folder`."""
    for path in sorted((folder or Path(sysconfig.get_paths()["stdlib"])).rglob("*.py")):
        if not {"test", "tests", "idle_test", "site-packages", "lib2to3"} & set(path.parts):
            yield from _docstrings(path)


def sentences(paragraph: str) -> Iterator[str]:
    """The complete sentences of a paragraph; code and tables are skipped."""
    for sentence in _SENTENCE_END.split(" ".join(_SPEAKER.sub("", paragraph).split())):
        if sentence and not _CODE.search(sentence):
            yield sentence.strip("\"'() ")


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                yield from sentences(paragraph)
