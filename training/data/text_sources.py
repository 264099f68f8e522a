"""Natural English sentences that are on the machine: Debian's `fortunes` and the documentation of Python packages.

Knows files and sentence ends; whether a sentence is worth speaking is for `training.data.text` to say.
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
    """Sentences of the fortune files. Their authors' names are left out."""
    for path in sorted(folder.glob("*")):
        if path.suffix or path.name in NOT_PROSE or not path.is_file():
            continue
        for fortune in re.split(r"^%.*$", path.read_text(encoding="utf-8", errors="replace"), flags=re.MULTILINE):
            text = _ATTRIBUTION.sub("", re.sub(r"-\n\s*(?=[a-z])", "", fortune))
            for paragraph in re.split(r"\n\s*\n|\n(?=[A-Z][a-z]+:)", text):
                yield from sentences(paragraph)


def documentation(folder: Path | None = None) -> Iterator[str]:
    """Sentences of docstrings: those of the standard library, or of all Python files in `folder`."""
    for path in sorted((folder or Path(sysconfig.get_paths()["stdlib"])).rglob("*.py")):
        if not {"test", "tests", "idle_test", "site-packages", "lib2to3"} & set(path.parts):
            yield from _docstrings(path)


def sentences(paragraph: str) -> Iterator[str]:
    """The whole sentences of one paragraph; what looks like code or a table is left out."""
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
