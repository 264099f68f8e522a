"""Scenarios of a soak test: how clients behave. A seeded generator draws them; outcomes are counted."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from sayline_tts.bench.load.texts import text
from sayline_tts.bench.soak.soak_client import SoakClient, SoakTally

SCENARIO_TIMEOUT_S = 90.0  # more than any scenario can take, unless the server hangs
PAUSE_S = 0.05
INTERNAL_ERROR = 1011
PATHS = ("/", "/healthz", "/metrics", "/v1/stream", "/nothing", "/web/../secret", "/v1/voices")

Scenario = Callable[[str, random.Random, SoakTally], Awaitable[None]]


async def run_scenario(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Run one random scenario. Legitimate reactions of the server end it; anything else counts as a fault."""
    (kind,) = rng.choices(list(SCENARIOS), list(SCENARIOS.values()))
    tally.runs_by_scenario[kind.__name__] += 1
    try:
        async with asyncio.timeout(SCENARIO_TIMEOUT_S):
            await kind(address, rng, tally)
    except ConnectionClosed as error:
        if error.rcvd is not None and error.rcvd.code == INTERNAL_ERROR:
            tally.faults[f"{kind.__name__}: closed with {INTERNAL_ERROR}"] += 1
    except InvalidStatus as error:
        if error.response.status_code == 500:
            tally.faults[f"{kind.__name__}: HTTP 500"] += 1
    except TimeoutError:
        tally.faults[f"{kind.__name__}: no end after {SCENARIO_TIMEOUT_S:.0f} s"] += 1
    except ConnectionRefusedError:
        tally.faults["connection refused"] += 1
    except (OSError, WebSocketException, asyncio.IncompleteReadError):
        pass  # the server closed the connection


async def listen(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Behave well: several contexts, text in pieces, receive everything."""
    async with SoakClient.connected(address, rng, tally) as client:
        names = [f"c{number}" for number in range(rng.randint(1, 3))]
        for name in names:
            await client.start(name, **options(rng))
        for name in names:
            await write(client, name, rng)
            await client.send_message("end", name)
        await client.receive_all()


async def interrupt(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Cancel in the middle, sometimes twice, and speak again in the same session."""
    async with SoakClient.connected(address, rng, tally) as client:
        for _ in range(rng.randint(1, 3)):
            await client.start("c", **options(rng))
            await write(client, "c", rng)
            await receive_some(client, rng)
            for _ in range(rng.randint(1, 2)):
                await client.send_message("cancel", "c")
            await client.receive_all()


async def vanish(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Abort the connection, before any audio or in the middle."""
    async with SoakClient.connected(address, rng, tally) as client:
        await client.start("c", **options(rng))
        await write(client, "c", rng)
        if rng.random() < 0.7:
            await receive_some(client, rng)
        client.vanish()


async def stall(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Request a long lead and stop reading; then read on, close, or abort."""
    async with SoakClient.connected(address, rng, tally) as client:
        await client.start("c", max_lead_ms=60_000, format="pcm")
        await client.send_message("text", "c", text=text(rng, 60))
        await client.send_message("end", "c")
        await asyncio.sleep(rng.uniform(0.5, 4.0))
        match rng.randrange(3):
            case 0:
                await client.receive_all()
            case 1:
                client.vanish()
            case _:  # close the connection with everything unread
                pass


async def resume(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Lose the connection and resume the session on another one, or find it expired."""
    async with SoakClient.connected(address, rng, tally) as lost:
        await lost.start("c", **options(rng))
        await write(lost, "c", rng)
        await receive_some(lost, rng)
        token, served = lost.ready.get("token", ""), dict(lost.open)
        lost.vanish()
    await asyncio.sleep(rng.uniform(0.0, 2.0))
    async with SoakClient.connected(address, rng, tally) as client:
        client.open = served
        await client.send({"type": "resume", "token": token, "contexts": served})
        while (answer := await client.receive())["type"] not in ("resumed", "error"):
            pass
        if answer.get("recovered"):
            await client.send_message("cancel", "c")
            await client.receive_all()


async def send_garbage(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Send garbage, then valid messages if the connection is still open."""
    async with SoakClient.connected(address, rng, tally) as client:
        for _ in range(rng.randint(1, 8)):
            await client.send_raw(garbage(rng))
        await client.start("c", **options(rng))
        await write(client, "c", rng)
        await client.send_message("end", "c")
        await client.receive_all()


async def stay_silent(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Open contexts, or none, send no text, and close."""
    async with SoakClient.connected(address, rng, tally) as client:
        for number in range(rng.randrange(4)):
            await client.start(f"c{number}", wait=bool(number % 2))
        await asyncio.sleep(rng.random())


async def send_broken_http(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Send no HTTP, or half a request."""
    beginning = rng.choice(
        [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET /v1/stream HTTP/1.1\r\nUpgrade: websocket\r\n"]
    )
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(beginning + rng.randbytes(rng.randrange(2_000)))
        await asyncio.sleep(rng.random() / 2)
    finally:
        writer.transport.abort()


async def get_page(address: str, rng: random.Random, tally: SoakTally) -> None:
    await ask(address, f"GET {rng.choice(PATHS)} HTTP/1.1", b"", rng, tally)


async def request_speech(address: str, rng: random.Random, tally: SoakTally) -> None:
    """Request speech over HTTP, often aborted in the middle."""
    body = json.dumps({"model": "sayline", "input": text(rng, 20), "voice": "clara", "response_format": "wav"}).encode()
    await ask(address, "POST /v1/audio/speech HTTP/1.1", body, rng, tally)


# By relative frequency.
SCENARIOS: dict[Scenario, float] = {
    listen: 4,
    interrupt: 4,
    vanish: 4,
    stall: 1,
    resume: 2,
    send_garbage: 3,
    stay_silent: 1,
    send_broken_http: 1,
    get_page: 1,
    request_speech: 2,
}


async def ask(address: str, request: str, body: bytes, rng: random.Random, tally: SoakTally) -> None:
    """Send a request; read all of the answer, or abort after some of it."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        head = f"{request}\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status = (await reader.readline()).split()
        if status[1:2] == [b"500"]:
            tally.faults[f"{request}: HTTP 500"] += 1
        left = rng.randrange(40_000) if rng.random() < 0.5 else None
        while (left is None or left > 0) and (piece := await reader.read(4_096)):
            left = None if left is None else left - len(piece)
    finally:
        writer.transport.abort()


async def write(client: SoakClient, context_id: str, rng: random.Random) -> None:
    """Send some text in pieces, as a language model does."""
    for word in text(rng, rng.randint(3, 25)).split(" "):
        await client.send_message("text", context_id, text=word + " ")
        if rng.random() < 0.1:
            await asyncio.sleep(rng.random() * PAUSE_S)
    if rng.random() < 0.3:
        await client.send_message("flush", context_id)


async def receive_some(client: SoakClient, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 12)):
        if client.open:
            await client.receive()


def options(rng: random.Random) -> dict[str, object]:
    options: dict[str, object] = {
        "format": rng.choice(["opus", "pcm"]),
        "max_lead_ms": rng.choice([400, 1_000, 10_000]),
    }
    return options if rng.random() < 0.8 else {**options, "seed": rng.randrange(9), "wait": rng.random() < 0.5}


def garbage(rng: random.Random) -> str | bytes:
    """Return invalid or malformed data of a random kind."""
    made: list[str | bytes] = [
        rng.randbytes(rng.randrange(300)),
        "".join(chr(rng.randrange(32, 0xD7FF)) for _ in range(rng.randrange(100))),
        json.dumps({"type": rng.choice(["start", "text", "cancel", "sing"]), "context_id": rng.choice([7, "", None])}),
        json.dumps({"type": "text", "context_id": "never", "text": "Hello there. "}),
        json.dumps({"type": "start", "context_id": "never", "voice": "nobody", "max_lead_ms": -1}),
        json.dumps([[[{}]]]) + " " * rng.randrange(10),
        "[" * rng.randrange(5_000),
        b"\x81\xa4type\xa5start",
        b"\xdf\xff\xff\xff\xff",  # a map that claims 2^32 - 1 entries
        "{" + " " * rng.randrange(100_000),
    ]
    return rng.choice(made)
