"""docs/reliability.md names tests that exist, and tells the slow ones apart."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/reliability.md").read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`( \(slow\))?", TEXT)


def test_every_row_names_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| fault ")]
    assert rows
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize(("file", "name", "slow"), NAMED)
def test_named_tests_exist(file: str, name: str, slow: str) -> None:
    functions = {
        node.name: node
        for node in ast.parse((ROOT / file).read_text("utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert name in functions
    assert bool(slow) == ("pytest.mark.slow" in map(ast.unparse, functions[name].decorator_list))
