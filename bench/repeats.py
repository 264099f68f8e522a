"""Time to first audio of a text that is asked for again, with and without a hit in the repeat cache.

`python -m sayline_tts.bench.repeats`: a server with the embedded voice in this process, a client on a real socket.
"""

import asyncio
import json
import statistics
import tempfile
import time

import torch
from aiohttp import ClientSession, WSMsgType
from aiohttp.test_utils import TestServer

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.models.model import Model
from sayline_tts.server.app import ENGINE_LOOP, make_app
from sayline_tts.server.settings import Settings

TEXT = "Hello, and welcome. How can I help you today?"
RUNS = 30


async def first_audio_ms(client: ClientSession, url: str, seed: int) -> tuple[float, float]:
    """From sending the text to the first audio, and the server's own figure. Ends after the last event."""
    async with client.ws_connect(url, protocols=["sayline.v1.json"]) as socket:
        await socket.receive()  # ready
        start = {"type": "start", "context_id": "a", "seed": seed, "cache": True, "format": "opus"}
        await socket.send_json(start)
        await asyncio.sleep(0.05)  # the voice is loaded
        began_s = time.perf_counter()
        await socket.send_json({"type": "text", "context_id": "a", "text": TEXT})
        await socket.send_json({"type": "end", "context_id": "a"})
        heard_ms = None
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                heard_ms = heard_ms or (time.perf_counter() - began_s) * 1000
            elif (event := json.loads(message.data))["type"] == "done":
                assert heard_ms is not None
                return heard_ms, event["usage"]["first_audio_ms"]
    raise RuntimeError("the connection was lost")


def _show(name: str, times: list[tuple[float, float]]) -> None:
    for place, values in zip(("client", "server"), zip(*times, strict=True), strict=True):
        ordered = sorted(values)
        p95 = ordered[int(0.95 * len(ordered))]
        print(f"{name}, at the {place}: median {statistics.median(ordered):.2f} ms, 95 % {p95:.2f} ms")


async def main() -> None:
    torch.set_num_threads(1)
    model = Model.load(find_checkpoint("embedded"))
    with tempfile.TemporaryDirectory() as folder:
        app = await make_app(Settings.load(data=folder), model)
        async with TestServer(app) as server, ClientSession() as client:
            await app[ENGINE_LOOP].warm_up()
            url = str(server.make_url("/v1/stream"))
            _show("miss", [await first_audio_ms(client, url, seed) for seed in range(RUNS)])
            _show("hit", [await first_audio_ms(client, url, seed) for seed in range(RUNS)])


if __name__ == "__main__":
    asyncio.run(main())
