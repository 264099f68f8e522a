"""Random messages and frames over real sockets: each is answered or refused, and none is an internal error.

`make fuzz` sends a hundred times as many. `SAYLINE_FUZZ_COUNT=file` appends how many were sent to a file.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings
from tests.fuzz import FUZZ, fuzz
from tests.server.fakes import FakeEngine
from tests.server.raw_http import RawClient, complaints, frame, raw_client
from tests.server.stream_client import connected_client, serving

INPUTS = 1_000 * FUZZ
PER_CONNECTION = 200
TYPES = ["start", "text", "flush", "end", "cancel", "ack", "resume", "sing", "", 7, None]
VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 2**53, 1e308, "", "a", "bob", "Hello there. ", "\ud800", "pcm", "opus", "verbatim",
    [], {}, [[[[]]]], {"a": {"a": 1}}, "x" * 3_000, "<break time='9s'/>", "\u202e\u0000",
]  # fmt: skip
FIELDS = [
    "voice",
    "format",
    "mode",
    "text",
    "seed",
    "speed",
    "played_ms",
    "max_lead_ms",
    "id",
    "token",
    "contexts",
    "x",
]


def message(rng: random.Random) -> bytes:
    """A message that is nearly right, most of the time."""
    made: dict[str, Any] = {"type": rng.choice(TYPES), "context_id": rng.choice(["a", "b", "c", "", None, 7])}
    made |= {rng.choice(FIELDS): rng.choice(VALUES) for _ in range(rng.randrange(4))}
    data = json.dumps(made).encode()
    if rng.random() < 0.2:
        at = rng.randrange(len(data))
        data = data[:at] + rng.randbytes(rng.randrange(4)) + data[at + rng.randrange(4) :]
    return data


def some_frame(rng: random.Random) -> bytes:
    """Mostly a message in a text frame; sometimes a frame that ends the connection."""
    if rng.random() < 0.99:
        return frame(message(rng), rng.choice([1, 1, 1, 2, 9, 10]))
    breaking: list[Callable[[], bytes]] = [
        lambda: rng.randbytes(rng.randrange(1, 40)),
        lambda: frame(message(rng), rng.randrange(16)),
        lambda: frame(message(rng), masked=False),
        lambda: frame(message(rng), first=rng.randrange(16) << 4),
    ]
    return rng.choice(breaking)()


async def fuzz_connection(one: RawClient, rng: random.Random, count: Counter[str]) -> None:
    await one.upgrade()
    reading = asyncio.create_task(read_all(one, count))
    for _ in range(PER_CONNECTION):
        if reading.done():
            break
        await one.send(some_frame(rng))
        count["frames"] += 1
        await asyncio.sleep(0)
    await one.send(frame(b"\x03\xe8", 8))
    await reading


async def read_all(one: RawClient, count: Counter[str]) -> None:
    """Until the server closes the connection. Counts what it says by error code."""
    try:
        while True:
            opcode, payload = await one.frame()
            if opcode == 1 and b'"type":"error"' in payload:
                count[json.loads(payload)["code"]] += 1
            if opcode == 8:
                count[f"closed with {int.from_bytes(payload[:2])}"] += 1
                return
    except (asyncio.IncompleteReadError, ConnectionError):
        count["cut"] += 1


async def fuzz_request(one: RawClient, rng: random.Random, count: Counter[str]) -> None:
    endpoint = rng.choice(["POST /generate", "POST /stream", "POST /tts", "POST /v1/audio/speech", "POST /v1/voices"])
    kind = rng.choice(["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "x"])
    bodies: list[Callable[[], bytes]] = [
        lambda: message(rng),
        lambda: rng.randbytes(50),
        lambda: b"--b\r\n" + message(rng) + b"\r\n--b--\r\n",
    ]
    body = rng.choice(bodies)()
    encoding = rng.choice(["identity", "gzip", ""]) if rng.random() < 0.1 else "identity"
    await one.request(endpoint, body, Content_Type=kind, Content_Encoding=encoding, Connection="close")
    count["requests"] += 1
    status = await one.status()
    count[f"HTTP {status}"] += 1
    await one.rest()


@fuzz
async def test_random_input_over_real_sockets_is_no_internal_error(caplog: pytest.LogCaptureFixture) -> None:
    rng, count = random.Random(int(os.environ.get("SEED", 1))), Counter[str]()
    engine = FakeEngine()
    settings = Settings.load(
        messages_per_second=1e6, account_messages_per_second=1e6, max_request_chars=100, voice_urls=False
    )
    async with serving(await make_app(settings, engine.model, engine)) as address:
        while count["frames"] + count["requests"] < INPUTS:
            send: Callable[..., Any] = fuzz_connection if rng.random() < 0.2 else fuzz_request
            async with raw_client(address) as one:
                await send(one, rng, count)
        async with connected_client(address) as listener:
            await listener.speak("All is well.")
            await listener.receive_until_final()
            assert listener.messages_of("done")
    report(count)
    assert count["internal"] == count["closed with 1011"] == count["HTTP 500"] == 0, count
    assert complaints(caplog) == []


def report(count: Counter[str]) -> None:
    print(f"{count['frames']} frames and {count['requests']} requests: {dict(count.most_common())}")
    if path := os.environ.get("SAYLINE_FUZZ_COUNT"):
        with Path(path).open("a") as file:
            file.write(json.dumps(count) + "\n")
