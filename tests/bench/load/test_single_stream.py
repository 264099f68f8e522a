import time

import pytest

from sayline_tts.bench.load import single_stream
from sayline_tts.bench.load.stream import Lost, Stream
from sayline_tts.bench.load.texts import Texts
from tests.bench.fakes import connects_to, rejects, speaks

TEXTS = Texts(((1, 0.08), (20, 1.6)), 0.4, 0.8)


async def test_first_audio_is_taken_text_by_text() -> None:
    asked: list[Stream] = []

    async def notes(stream: Stream) -> None:
        asked.append(stream)
        await speaks(stream)

    quantiles = await single_stream.first_audio_ms(connects_to(notes), TEXTS, 5)
    assert quantiles.count == len(asked) == 5
    assert all(stream.wish.stop_after_ms for stream in asked)
    assert len({stream.wish.text for stream in asked}) == 5


async def test_speed_is_of_the_longest_text_without_a_limit_to_the_lead() -> None:
    asked: list[Stream] = []

    async def notes(stream: Stream) -> None:
        asked.append(stream)
        await speaks(stream)

    assert await single_stream.speed_x(connects_to(notes), TEXTS) > 0
    assert len(asked[0].wish.text.split()) == 10
    assert asked[0].wish.max_lead_ms == 60_000


async def test_the_start_counts_until_the_first_audio() -> None:
    assert await single_stream.start_s(connects_to(speaks), time.perf_counter() - 5) > 5


async def test_one_who_is_turned_away_is_no_measurement() -> None:
    with pytest.raises(Lost, match="rejected: full"):
        await single_stream.first_audio_ms(connects_to(rejects), TEXTS, 1)
