import os
from dataclasses import replace

import pytest
from aiohttp import web

from sayline_tts.bench.soak.resource_snapshot import COUNTED, ResourceSnapshot, ask, parse
from tests.server.stream_client import serving

BEFORE = ResourceSnapshot(0, 0, 0, 0, 0, tasks=4, descriptors=7, threads=6, memory_mb=500.0)


def test_released_resources_are_not_reported() -> None:
    assert BEFORE.leaked_since(BEFORE) == []
    assert replace(BEFORE, tasks=3, memory_mb=520.0, threads=10).leaked_since(BEFORE) == []


@pytest.mark.parametrize(
    ("name", "value"), [("slots_used", 1), ("tasks", 5), ("descriptors", 8), ("threads", 15), ("memory_mb", 600)]
)
def test_leaked_resource_is_reported(name: str, value: float) -> None:
    assert replace(BEFORE, **{name: value}).leaked_since(BEFORE) == [name]


def test_metrics_with_labels_are_ignored() -> None:
    assert parse('# HELP a b\na 1.0\nb{c="d e"} 2.0\ne 3e2\n') == {"a": 1.0, "e": 300.0}


async def test_snapshot_is_read_from_metrics_and_proc() -> None:
    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text="".join(f"sayline_{name} {at}\n" for at, name in enumerate(COUNTED)))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    async with serving(app) as address:
        snapshot = await ResourceSnapshot.read(os.getpid(), address)
        assert [getattr(snapshot, name) for name in COUNTED] == list(range(len(COUNTED)))
        assert snapshot.descriptors > 3
        assert snapshot.threads >= 1
        assert snapshot.memory_mb > 10
        assert snapshot.without_memory == replace(snapshot, memory_mb=0.0)
        with pytest.raises(RuntimeError, match="404"):
            await ask(address, "/nothing")
