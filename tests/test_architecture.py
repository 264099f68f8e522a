"""Imports point one way: server to engine, clients to nothing of ours, the engine to no event loop and no socket."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "engine": {"asyncio", "socket", "aiohttp", "websockets", "server", "sayline", "bench", "training"},
    "server": {"sayline", "bench", "tests", "training"},
    "training": {"server", "sayline", "bench", "tests", "asyncio"},
    "clients/python/sayline": {"engine", "server", "bench", "training", "torch", "numpy", "aiohttp", "msgspec"},
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    wrong = {str(path.relative_to(ROOT)): bad for path in files if (bad := imported(path) & FORBIDDEN[folder])}
    assert not wrong


def test_the_protocol_does_no_io() -> None:
    client = ROOT / "clients/python/sayline"
    for path in (ROOT / "server/protocol.py", client / "messages.py", client / "wire.py"):
        assert not imported(path) & {"asyncio", "socket", "aiohttp", "websockets", "logging", "time"}, path
