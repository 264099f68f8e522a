import time

import pytest

from sayline_tts.bench.load import single_stream
from sayline_tts.bench.load.stream import ConnectionLost, Stream
from sayline_tts.bench.load.texts import Texts
from tests.bench.fakes import connects_to, rejects, speaks

TEXTS = Texts(((1, 0.08), (20, 1.6)), 0.4, 0.8)


async def test_first_audio_is_measured_for_each_text() -> None:
    asked: list[Stream] = []

    async def notes(stream: Stream) -> None:
        asked.append(stream)
        await speaks(stream)

    quantiles = await single_stream.first_audio_ms(connects_to(notes), TEXTS, 5)
    assert quantiles.count == len(asked) == 5
    assert all(stream.request.stop_after_ms for stream in asked)
    assert len({stream.request.text for stream in asked}) == 5


async def test_writer_sends_tokens_with_so_many_words_ahead() -> None:
    asked: list[Stream] = []

    async def notes(stream: Stream) -> None:
        asked.append(stream)
        await speaks(stream)

    quantiles = await single_stream.writer_first_audio_ms(connects_to(notes), 2, 3)
    assert quantiles.count == len(asked) == 3
    assert all(stream.request.tokens_a_second and stream.request.lookahead_words == 2 for stream in asked)


async def test_speed_uses_the_longest_text_with_unlimited_lead() -> None:
    asked: list[Stream] = []

    async def notes(stream: Stream) -> None:
        asked.append(stream)
        await speaks(stream)

    assert await single_stream.speed_x(connects_to(notes), TEXTS) > 0
    assert len(asked[0].request.text.split()) == 10
    assert asked[0].request.max_lead_ms == 60_000


async def test_start_time_ends_with_the_first_audio() -> None:
    assert await single_stream.start_s(connects_to(speaks), time.perf_counter() - 5) > 5


async def test_rejected_stream_raises_instead_of_measuring() -> None:
    with pytest.raises(ConnectionLost, match="rejected: full"):
        await single_stream.first_audio_ms(connects_to(rejects), TEXTS, 1)
