"""Who comes to a soak, and how he behaves. Each visit is drawn by a seeded generator; what comes of it is tallied."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from sayline_tts.bench.load.texts import text
from sayline_tts.bench.soak.soak_client import Caller, Tally

VISIT_S = 90.0  # more than any visit can take on a machine that is not stuck
PAUSE_S = 0.05
INTERNAL_ERROR = 1011
PATHS = ("/", "/healthz", "/metrics", "/v1/stream", "/nothing", "/web/../secret", "/v1/voices")

Visit = Callable[[str, random.Random, Tally], Awaitable[None]]


async def visit(address: str, rng: random.Random, tally: Tally) -> None:
    """One visit of some kind. Whatever the server may rightly do about it ends it; all else is a fault."""
    (kind,) = rng.choices(list(VISITS), list(VISITS.values()))
    tally.visits[kind.__name__] += 1
    try:
        async with asyncio.timeout(VISIT_S):
            await kind(address, rng, tally)
    except ConnectionClosed as error:
        if error.rcvd is not None and error.rcvd.code == INTERNAL_ERROR:
            tally.faults[f"{kind.__name__}: closed with {INTERNAL_ERROR}"] += 1
    except InvalidStatus as error:
        if error.response.status_code == 500:
            tally.faults[f"{kind.__name__}: HTTP 500"] += 1
    except TimeoutError:
        tally.faults[f"{kind.__name__}: no end after {VISIT_S:.0f} s"] += 1
    except ConnectionRefusedError:
        tally.faults["nobody answers"] += 1
    except (OSError, WebSocketException, asyncio.IncompleteReadError):
        pass  # the server hung up


async def listen(address: str, rng: random.Random, tally: Tally) -> None:
    """As one should: some contexts at once, texts that come in pieces, and hear it out."""
    async with Caller.called(address, rng, tally) as caller:
        names = [f"c{number}" for number in range(rng.randint(1, 3))]
        for name in names:
            await caller.start(name, **options(rng))
        for name in names:
            await write(caller, name, rng)
            await caller.say("end", name)
        await caller.hear_out()


async def interrupt(address: str, rng: random.Random, tally: Tally) -> None:
    """Cancels in the middle, sometimes twice, and speaks again in the same session."""
    async with Caller.called(address, rng, tally) as caller:
        for _ in range(rng.randint(1, 3)):
            await caller.start("c", **options(rng))
            await write(caller, "c", rng)
            await hear_some(caller, rng)
            for _ in range(rng.randint(1, 2)):
                await caller.say("cancel", "c")
            await caller.hear_out()


async def vanish(address: str, rng: random.Random, tally: Tally) -> None:
    """Is gone without a word: before it hears anything, or in the middle."""
    async with Caller.called(address, rng, tally) as caller:
        await caller.start("c", **options(rng))
        await write(caller, "c", rng)
        if rng.random() < 0.7:
            await hear_some(caller, rng)
        caller.vanish()


async def stall(address: str, rng: random.Random, tally: Tally) -> None:
    """Wants a long lead and then does not read; comes back to it, leaves, or vanishes."""
    async with Caller.called(address, rng, tally) as caller:
        await caller.start("c", max_lead_ms=60_000, format="pcm")
        await caller.say("text", "c", text=text(rng, 60))
        await caller.say("end", "c")
        await asyncio.sleep(rng.uniform(0.5, 4.0))
        match rng.randrange(3):
            case 0:
                await caller.hear_out()
            case 1:
                caller.vanish()
            case _:  # closes in an orderly way, with all of it unread
                pass


async def come_back(address: str, rng: random.Random, tally: Tally) -> None:
    """Loses its connection and resumes the session on another one, or finds it gone."""
    async with Caller.called(address, rng, tally) as lost:
        await lost.start("c", **options(rng))
        await write(lost, "c", rng)
        await hear_some(lost, rng)
        token, heard = lost.ready.get("token", ""), dict(lost.open)
        lost.vanish()
    await asyncio.sleep(rng.uniform(0.0, 2.0))
    async with Caller.called(address, rng, tally) as caller:
        caller.open = heard
        await caller.send({"type": "resume", "token": token, "contexts": heard})
        while (answer := await caller.hear())["type"] not in ("resumed", "error"):
            pass
        if answer.get("recovered"):
            await caller.say("cancel", "c")
            await caller.hear_out()


async def talk_rubbish(address: str, rng: random.Random, tally: Tally) -> None:
    """Then, if the server still listens, says something that makes sense."""
    async with Caller.called(address, rng, tally) as caller:
        for _ in range(rng.randint(1, 8)):
            await caller.send_raw(rubbish(rng))
        await caller.start("c", **options(rng))
        await write(caller, "c", rng)
        await caller.say("end", "c")
        await caller.hear_out()


async def say_nothing(address: str, rng: random.Random, tally: Tally) -> None:
    """Opens a context or none, and goes."""
    async with Caller.called(address, rng, tally) as caller:
        for number in range(rng.randrange(4)):
            await caller.start(f"c{number}", wait=bool(number % 2))
        await asyncio.sleep(rng.random())


async def knock(address: str, rng: random.Random, tally: Tally) -> None:
    """Speaks no HTTP, or half of it."""
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


async def browse(address: str, rng: random.Random, tally: Tally) -> None:
    await ask(address, f"GET {rng.choice(PATHS)} HTTP/1.1", b"", rng, tally)


async def order(address: str, rng: random.Random, tally: Tally) -> None:
    """Speech over HTTP, often left in the middle."""
    body = json.dumps({"model": "sayline", "input": text(rng, 20), "voice": "clara", "response_format": "wav"}).encode()
    await ask(address, "POST /v1/audio/speech HTTP/1.1", body, rng, tally)


# By how often they come.
VISITS: dict[Visit, float] = {
    listen: 4,
    interrupt: 4,
    vanish: 4,
    stall: 1,
    come_back: 2,
    talk_rubbish: 3,
    say_nothing: 1,
    knock: 1,
    browse: 1,
    order: 2,
}


async def ask(address: str, request: str, body: bytes, rng: random.Random, tally: Tally) -> None:
    """Reads all of the answer, or hangs up after some of it."""
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


async def write(caller: Caller, context_id: str, rng: random.Random) -> None:
    """Some text, in pieces as a language model makes them."""
    for word in text(rng, rng.randint(3, 25)).split(" "):
        await caller.say("text", context_id, text=word + " ")
        if rng.random() < 0.1:
            await asyncio.sleep(rng.random() * PAUSE_S)
    if rng.random() < 0.3:
        await caller.say("flush", context_id)


async def hear_some(caller: Caller, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 12)):
        if caller.open:
            await caller.hear()


def options(rng: random.Random) -> dict[str, object]:
    options: dict[str, object] = {
        "format": rng.choice(["opus", "pcm"]),
        "max_lead_ms": rng.choice([400, 1_000, 10_000]),
    }
    return options if rng.random() < 0.8 else {**options, "seed": rng.randrange(9), "wait": rng.random() < 0.5}


def rubbish(rng: random.Random) -> str | bytes:
    """Of every kind that a server may be sent."""
    made: list[str | bytes] = [
        rng.randbytes(rng.randrange(300)),
        "".join(chr(rng.randrange(32, 0xD7FF)) for _ in range(rng.randrange(100))),
        json.dumps({"type": rng.choice(["start", "text", "cancel", "sing"]), "context_id": rng.choice([7, "", None])}),
        json.dumps({"type": "text", "context_id": "never", "text": "Hello there. "}),
        json.dumps({"type": "start", "context_id": "never", "voice": "nobody", "max_lead_ms": -1}),
        json.dumps([[[{}]]]) + " " * rng.randrange(10),
        "[" * rng.randrange(5_000),
        b"\x81\xa4type\xa5start",
        b"\xdf\xff\xff\xff\xff",  # a map of four thousand million entries
        "{" + " " * rng.randrange(100_000),
    ]
    return rng.choice(made)
