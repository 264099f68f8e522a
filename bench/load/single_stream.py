"""Measure a single listener on an idle server: time to first audio, and speed."""

import random

from sayline_tts.bench.load.stream import Connect, ConnectionLost, Outcome, Request, Stream
from sayline_tts.bench.load.texts import MAX_LEAD_MS, Texts
from sayline_tts.bench.report.stats import Quantiles
from sayline_tts.bench.writer.pieces import LONG_SENTENCES

FIRST = "Hello there."
HEARD_MS = 400.0  # enough to know that speech has started
TOKENS_A_SECOND = 8.0  # of a writer


async def first_audio_ms(connect: Connect, texts: Texts, count: int, seed: int = 0) -> Quantiles:
    """Measure `count` texts, one after another. Raises `ConnectionLost`."""
    rng = random.Random(seed)
    waits_ms: list[float] = []
    for _ in range(count):
        stream = await _speak(connect, Request(texts.draw(rng), stop_after_ms=HEARD_MS))
        assert stream.ttfa_ms is not None
        waits_ms.append(stream.ttfa_ms)
    quantiles = Quantiles.of(waits_ms)
    assert quantiles is not None
    return quantiles


async def writer_first_audio_ms(connect: Connect, lookahead_words: int, count: int) -> Quantiles:
    """Measure the time from a writer's first token to the first audio, for `count` long sentences.

    Raises `ConnectionLost`.
    """
    waits_ms: list[float] = []
    for text in LONG_SENTENCES[:count]:
        request = Request(
            text, stop_after_ms=HEARD_MS, tokens_a_second=TOKENS_A_SECOND, lookahead_words=lookahead_words
        )
        stream = await _speak(connect, request)
        assert stream.ttfa_ms is not None
        waits_ms.append(stream.ttfa_ms)
    quantiles = Quantiles.of(waits_ms)
    assert quantiles is not None
    return quantiles


async def speed_x(connect: Connect, texts: Texts, seed: int = 0) -> float:
    """Return seconds of speech per second from sending the text to the last audio. Raises `ConnectionLost`."""
    stream = await _speak(connect, Request(texts.longest(random.Random(seed)), max_lead_ms=MAX_LEAD_MS))
    assert stream.sent_ms is not None
    return stream.listener.received_ms / (stream.listener.arrivals_ms[-1] - stream.sent_ms)


async def start_s(connect: Connect, started_s: float) -> float:
    """Return the time from the command that started the server to its first audio. Raises `ConnectionLost`."""
    stream = await _speak(connect, Request(FIRST, stop_after_ms=1))
    assert stream.first_audio_at_ms is not None
    return stream.first_audio_at_ms / 1000 - started_s


async def _speak(connect: Connect, request: Request) -> Stream:
    async with connect() as connection:
        stream = Stream(request, 0)
        await connection.speak(stream)
    if stream.outcome not in (Outcome.SPOKEN, Outcome.STOPPED) or stream.first_audio_at_ms is None:
        raise ConnectionLost(f"the single stream was {stream.outcome.value}: {stream.error}")
    return stream
