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
# Folders of the server, and what each of them may know of the others.
SERVER = {
    "access": set(),
    "audio": set(),
    "voices": {"access"},
    "speaking": {"access", "voices"},
    "http": {"access", "audio", "voices", "speaking"},
    "websocket": {"access", "audio", "voices", "speaking"},
}


def imported(path: Path, depth: int = 1) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(name.split(".")[:depth]) for name in names}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    wrong = {str(path.relative_to(ROOT)): bad for path in files if (bad := imported(path) & FORBIDDEN[folder])}
    assert not wrong


@pytest.mark.parametrize("folder", SERVER)
def test_folders_of_the_server_know_what_lies_below_them(folder: str) -> None:
    others = {f"server.{each}" for each in (*SERVER, "app", "cli", "commands")}
    known = {f"server.{each}" for each in SERVER[folder] | {folder}}
    files = sorted((ROOT / "server" / folder).glob("*.py"))
    assert files
    wrong = {path.name: bad for path in files if (bad := imported(path, 2) & others - known)}
    assert not wrong


def test_the_protocol_does_no_io() -> None:
    client = ROOT / "clients/python/sayline"
    for path in (ROOT / "server/websocket/protocol.py", client / "messages.py", client / "wire.py"):
        assert not imported(path) & {"asyncio", "socket", "aiohttp", "websockets", "logging", "time"}, path
