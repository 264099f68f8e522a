"""Imports point one way: server to engine, clients to nothing of ours, the engine to no event loop and no socket."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "sayline_tts"
FORBIDDEN = {
    "engine": {"asyncio", "socket", "aiohttp", "websockets", "sayline", "training"},
    "server": {"sayline", "tests", "training"},
    "training": {"sayline", "tests", "asyncio"},
    "clients/python/sayline": {PACKAGE, "training", "torch", "numpy", "aiohttp", "msgspec"},
}
FORBIDDEN_PARTS = {
    "engine": {"server", "bench"},
    "server": {"bench"},
    "training": {"server", "bench"},
}
# For each room of `engine/` the rooms and top-level modules that it may import, besides itself and `errors`.
ENGINE = {
    "checkpoint": set[str](),
    "audio": set[str](),
    "text/normalization": set[str](),
    "text": {"text/normalization", "checkpoint"},
    "kernels": set[str](),
    "cache": {"kernels"},
    "models": {"cache", "kernels", "text", "audio", "checkpoint", "segment", "device"},
    "scheduling": {"models", "text", "segment"},
    "cuda": {"models", "cache", "checkpoint"},
    "execution": {"scheduling", "cuda", "models", "cache", "checkpoint", "segment", "device"},
    "timing": {"scheduling", "models", "text", "checkpoint", "segment"},
    "guarding": {"scheduling"},
    "cloning": {"models", "audio"},
}
ENGINE_MODULES = {
    "errors": set[str](),
    "device": set[str](),
    "segment": {"text"},
    "engine": {*ENGINE, "segment", "device"},
    "tts_model": {*ENGINE, "engine", "segment"},
}
# For each room of `server/` the rooms that it may import, besides itself.
SERVER = {
    "access": set[str](),
    "accounting": set[str](),
    "network": {"access"},
    "audio": set[str](),
    "voices": {"access"},
    "lexicons": {"access"},
    "synthesis": {"access", "voices"},
    "fleet": {"access", "voices", "synthesis"},
    "cluster": set[str](),
    "http": {"access", "accounting", "audio", "voices", "lexicons", "synthesis"},
    "websocket": {"access", "accounting", "audio", "voices", "lexicons", "synthesis"},
    "compat": {"access", "accounting", "audio", "voices", "lexicons", "synthesis", "http", "websocket"},
}
MODULES = "app", "cli", "commands", "engine_lifecycle", "engine_monitor", "lifecycle"  # above all rooms


def imported(path: Path) -> set[str]:
    """The dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def parts(path: Path) -> set[str]:
    """The parts of our package that a file imports: `server`, `engine`, ..."""
    return {name.split(".")[1] for name in imported(path) if name.startswith(f"{PACKAGE}.")}


def engine_room(name: str) -> str | None:
    """`sayline_tts.engine.text.normalization.math.x` -> `text/normalization`; None for what is not the engine's."""
    if not name.startswith(f"{PACKAGE}.engine."):
        return None
    room, *rest = name.split(".")[2:]
    return "text/normalization" if room == "text" and rest[:1] == ["normalization"] else room


def files_in(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.py"))
    assert files
    return files


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder: str) -> None:
    wrong = {}
    for path in files_in(ROOT / folder):
        top = {name.split(".")[0] for name in imported(path)} & FORBIDDEN[folder]
        if bad := top | (parts(path) & FORBIDDEN_PARTS.get(folder, set())):
            wrong[str(path.relative_to(ROOT))] = bad
    assert not wrong


@pytest.mark.parametrize("room", [*ENGINE, *ENGINE_MODULES])
def test_engine_rooms_import_only_rooms_below_them(room: str) -> None:
    allowed = {room, "errors", *(ENGINE.get(room) or ENGINE_MODULES.get(room, set()))}
    place = ROOT / "engine" / room
    files = [place.with_suffix(".py")] if room in ENGINE_MODULES else files_in(place)
    if room == "text":
        files = [path for path in files if path.parent.name != "normalization"]
    wrong = {
        str(path.relative_to(ROOT)): bad
        for path in files
        if (bad := {found for name in imported(path) if (found := engine_room(name))} - allowed)
    }
    assert not wrong


def test_engine_import_order_covers_every_room() -> None:
    rooms = {str(path.parent.relative_to(ROOT / "engine")) for path in files_in(ROOT / "engine")} - {"."}
    modules = {path.stem for path in (ROOT / "engine").glob("*.py")} - {"__init__"}
    assert rooms == set(ENGINE)
    assert modules == set(ENGINE_MODULES)


def test_engine_import_order_has_no_cycle() -> None:
    below = {room: (allowed - {room}) | {"errors"} for room, allowed in (ENGINE | ENGINE_MODULES).items()}
    below["errors"] = set()
    done: set[str] = set()
    while len(done) < len(below):
        free = {room for room in below.keys() - done if below[room] <= done}
        assert free, f"a cycle among {sorted(below.keys() - done)}"
        done |= free


@pytest.mark.parametrize("folder", SERVER)
def test_server_rooms_import_only_rooms_below_them(folder: str) -> None:
    others = {f"{PACKAGE}.server.{each}" for each in (*SERVER, *MODULES)}
    known = {f"{PACKAGE}.server.{each}" for each in SERVER[folder] | {folder}}
    wrong = {
        path.name: bad
        for path in files_in(ROOT / "server" / folder)
        if (bad := {".".join(name.split(".")[:3]) for name in imported(path)} & others - known)
    }
    assert not wrong


def test_the_protocol_does_no_io() -> None:
    client = ROOT / "clients/python/sayline"
    server = ROOT / "server/websocket"
    for path in (
        *(folder / name for folder in (server, client) for name in ("messages.py", "wire.py")),
        server / "protocol.py",
        *sorted((ROOT / "server/compat").rglob("*protocol.py")),
        *(ROOT / "server/compat" / name for name in ("adapter.py", "character_times.py", "ssml.py", "turns.py")),
    ):
        top = {name.split(".")[0] for name in imported(path)}
        assert not top & {"asyncio", "socket", "aiohttp", "websockets", "logging", "time"}, path
