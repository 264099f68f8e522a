"""A server whose codec processes are killed: listeners hear what they would have heard."""

import asyncio
import multiprocessing
import sys
from collections.abc import Callable
from functools import partial

import aiohttp
import pytest

from sayline_tts.engine.models.model import Model
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.server.stream_client import connected_client, is_final, serving

TEXT = "Hello there. It is a fine day, is it not? Yes, it is a very fine day indeed."
KILLS = 3

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="codec processes are forked on Linux only")


async def speech(address: str, seed: int, heard: list[int]) -> bytes:
    """Speak `TEXT`, counting the frames in `heard[seed]`."""
    async with connected_client(address, "msgpack") as one:
        await one.speak(TEXT, format="pcm", seed=seed)
        while not is_final(message := await one.receive()):
            heard[seed] += message["type"] == "audio"
    assert message["type"] == "done"
    return one.pcm().tobytes()


async def kill_codec_processes(heard: list[int], kills: list[int]) -> None:
    """Kill all of them at once, several times, while speech is made; never twice in the same pass. Counts `kills`."""
    for _ in range(KILLS):
        enough = [frames + 2 for frames in heard]
        await wait_until(partial(all_reached, heard, enough))
        killed = {process.pid for process in multiprocessing.active_children()}
        for process in multiprocessing.active_children():
            process.kill()
        kills[0] += 1
        await wait_until_replaced(killed)


def all_reached(counts: list[int], goals: list[int]) -> bool:
    return all(count >= goal for count, goal in zip(counts, goals, strict=True))


async def wait_until_replaced(killed: set[int | None]) -> None:
    await wait_until(
        lambda: len({process.pid for process in multiprocessing.active_children()} - killed) >= len(killed)
    )


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_killed_codec_processes_are_replaced_and_nobody_hears_it(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(await make_app(Settings(slots=8), model)) as address:
        expected = [await speech(address, seed, [0] * 4) for seed in range(4)]
        heard, workers = [0] * 4, len(multiprocessing.active_children())
        killing = asyncio.create_task(kill_codec_processes(heard, kills := [0]))
        spoken = await asyncio.gather(*(speech(address, seed, heard) for seed in range(4)))
        killing.cancel()  # speech that has ended makes no more frames
        await asyncio.gather(killing, return_exceptions=True)
        assert kills[0] >= 1
        await wait_until(lambda: len(multiprocessing.active_children()) == workers)
        async with aiohttp.ClientSession() as client, client.get(f"http://{address}/healthz") as response:
            health = await response.json()
        assert spoken == expected
        assert health["codec_restarts"] > 0
        assert health["codec_workers"] == len(multiprocessing.active_children()) > 0
        assert "another one takes its place" in caplog.text


async def test_codec_process_that_dies_while_idle_is_replaced_by_itself(model: Model) -> None:
    async with serving(await make_app(Settings(slots=8), model)):
        before = {process.pid for process in multiprocessing.active_children()}
        for process in multiprocessing.active_children():
            process.kill()
        await wait_until_replaced(before)
