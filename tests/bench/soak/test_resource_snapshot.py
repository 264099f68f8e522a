import os
from dataclasses import replace

import pytest
from aiohttp import web

from sayline_tts.bench.soak.resource_snapshot import COUNTED, Residue, ask, parse
from tests.server.peer import running

BEFORE = Residue(0, 0, 0, 0, 0, tasks=4, descriptors=7, threads=6, memory_mb=500.0)


def test_what_came_back_is_not_named() -> None:
    assert BEFORE.above(BEFORE) == []
    assert replace(BEFORE, tasks=3, memory_mb=520.0, threads=10).above(BEFORE) == []


@pytest.mark.parametrize(
    ("name", "value"), [("slots_used", 1), ("tasks", 5), ("descriptors", 8), ("threads", 15), ("memory_mb", 600)]
)
def test_what_was_kept_is_named(name: str, value: float) -> None:
    assert replace(BEFORE, **{name: value}).above(BEFORE) == [name]


def test_numbers_with_labels_are_left_out() -> None:
    assert parse('# HELP a b\na 1.0\nb{c="d e"} 2.0\ne 3e2\n') == {"a": 1.0, "e": 300.0}


async def test_it_is_read_from_the_server_and_its_process() -> None:
    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text="".join(f"sayline_{name} {at}\n" for at, name in enumerate(COUNTED)))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    async with running(app) as address:
        residue = await Residue.read(os.getpid(), address)
        assert [getattr(residue, name) for name in COUNTED] == list(range(len(COUNTED)))
        assert residue.descriptors > 3
        assert residue.threads >= 1
        assert residue.memory_mb > 10
        assert residue.without_memory == replace(residue, memory_mb=0.0)
        with pytest.raises(RuntimeError, match="404"):
            await ask(address, "/nothing")
