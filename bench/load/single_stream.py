"""One listener who has the server to himself: time to first audio, and speed."""

import random

from sayline_tts.bench.load.stream import Connect, Lost, Outcome, Stream, Wish
from sayline_tts.bench.load.texts import MAX_LEAD_MS, Texts
from sayline_tts.bench.report.stats import Quantiles

FIRST = "Hello there."
HEARD_MS = 400.0  # enough to know that it has begun


async def first_audio_ms(connect: Connect, texts: Texts, count: int, seed: int = 0) -> Quantiles:
    """Each text after the one before has ended. Raises `Lost`."""
    rng = random.Random(seed)
    waits_ms: list[float] = []
    for _ in range(count):
        stream = await _speak(connect, Wish(texts.draw(rng), stop_after_ms=HEARD_MS))
        assert stream.ttfa_ms is not None
        waits_ms.append(stream.ttfa_ms)
    quantiles = Quantiles.of(waits_ms)
    assert quantiles is not None
    return quantiles


async def speed_x(connect: Connect, texts: Texts, seed: int = 0) -> float:
    """Seconds of speech for each second from the text to the last audio, as fast as it comes. Raises `Lost`."""
    stream = await _speak(connect, Wish(texts.longest(random.Random(seed)), max_lead_ms=MAX_LEAD_MS))
    assert stream.asked_ms is not None
    return stream.listener.received_ms / (stream.listener.arrivals_ms[-1] - stream.asked_ms)


async def start_s(connect: Connect, started_s: float) -> float:
    """From the command that started the server to its first audio. Raises `Lost`."""
    stream = await _speak(connect, Wish(FIRST, stop_after_ms=1))
    assert stream.first_ms is not None
    return stream.first_ms / 1000 - started_s


async def _speak(connect: Connect, wish: Wish) -> Stream:
    async with connect() as connection:
        stream = Stream(wish, 0)
        await connection.speak(stream)
    if stream.outcome not in (Outcome.SPOKEN, Outcome.STOPPED) or stream.first_ms is None:
        raise Lost(f"one listener alone was {stream.outcome.value}: {stream.error}")
    return stream
