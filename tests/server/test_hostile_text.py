"""Text that is made to take long takes time in proportion to its length, through the whole server."""

import time

import pytest

from tests.server.stream_client import connected_client

HOSTILE = {
    "one word": "a",
    "opening brackets": "(",
    "numbers with commas": "1,",
    "money": "$1.",
    "dots": "Mr. ",
    "half a link": "http://a.",
    "emphasis": "*_",
    "combining marks": "e\u0301\u0302",
    "half a break": "<break ",
    "formulas": "$x^",
    "digits and signs": "1-2/3:",
}
SIZES = (10_000, 40_000)


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
async def test_time_of_hostile_text_grows_linearly(address: str, kind: str) -> None:
    used_s = []
    for size in (SIZES[0], *SIZES):  # the first one warms up
        text = (HOSTILE[kind] * size)[:size]
        begun_s = time.process_time()
        async with connected_client(address) as one:
            await one.send("start")
            for at in range(0, size, 10_000):
                await one.send("text", text=text[at : at + 10_000])
            await one.send("flush", id="all")
            await one.send("cancel")
            await one.receive_until("cancelled", "error")
        used_s.append(time.process_time() - begun_s)
    # Four times the text: quadratic work would take sixteen times as long.
    assert used_s[2] < 8 * used_s[1] + 0.5
