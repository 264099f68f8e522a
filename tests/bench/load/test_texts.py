import random

import pytest

from sayline_tts.bench.load.stream import ConnectionLost
from sayline_tts.bench.load.texts import Texts, measure_texts, text
from tests.bench.fakes import connects_to, rejects, speaks


def test_texts_are_sentences_without_commas() -> None:
    drawn = text(random.Random(1), 30)
    assert len(drawn.split()) == 30
    assert drawn.count(".") == 3
    assert drawn.endswith(".")
    assert "," not in drawn


async def test_durations_are_measured_up_to_the_longest_text() -> None:
    texts = await measure_texts(connects_to(speaks), 0.5, 1.0)
    words, took_s = zip(*texts.measured, strict=True)
    assert words == (2, 4, 7, 12, 20)
    assert took_s == pytest.approx((0.16, 0.32, 0.56, 0.96, 1.6))


async def test_drawn_texts_have_the_requested_duration() -> None:
    texts = await measure_texts(connects_to(speaks), 0.5, 1.0)
    rng = random.Random(2)
    lengths_s = [0.08 * len(texts.draw(rng).split()) for _ in range(50)]
    assert 0.5 <= min(lengths_s) < max(lengths_s) <= 1.0
    assert texts.mean_s == 0.75
    assert 0.08 * len(texts.longest(rng).split()) == pytest.approx(1.0, abs=0.05)


def test_text_has_at_least_one_word() -> None:
    assert Texts(((2, 40.0),), 1.0, 2.0).draw(random.Random(0)).count(" ") == 0


async def test_failing_server_raises() -> None:
    with pytest.raises(ConnectionLost, match="rejected: full"):
        await measure_texts(connects_to(rejects), 0.5, 1.0)
