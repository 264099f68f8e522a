import asyncio

import pytest

from sayline_tts.server.synthesis.pause_timer import FLUSH_LEAD_MS, PauseTimer


def due_ms(timer: PauseTimer, last_push_ms: float, pending_ms: float, lead_ms: float, clause_ready: bool) -> int:
    """Restart the timer with these times before now; returns when it is due, from now."""
    now_s = asyncio.get_running_loop().time()
    timer.restart(now_s - last_push_ms / 1000, now_s - pending_ms / 1000, lead_ms, clause_ready)
    assert timer.due_s is not None
    timer_due_ms = round((timer.due_s - now_s) * 100) * 10
    timer.cancel()
    assert timer.due_s is None
    return timer_due_ms


@pytest.mark.parametrize(
    ("last_push_ms", "pending_ms", "lead_ms", "clause_ready", "expected_ms"),
    [
        (0, 0, 0, False, 800),
        (300, 300, 0, False, 500),
        (0, 2500, 0, False, 500),  # the longest delay ends before the pause
        (0, 0, FLUSH_LEAD_MS + 2000, False, 2000),  # the lead is long
        (0, 0, FLUSH_LEAD_MS + 200, True, 200),
        (0, 0, FLUSH_LEAD_MS, True, 0),
    ],
)
async def test_due_time_depends_on_pause_delay_and_lead(
    last_push_ms: float, pending_ms: float, lead_ms: float, clause_ready: bool, expected_ms: int
) -> None:
    timer = PauseTimer(800, 3000, lambda: None)
    assert due_ms(timer, last_push_ms, pending_ms, lead_ms, clause_ready) == expected_ms


async def test_timer_fires_once_and_not_after_cancel() -> None:
    fired: list[None] = []
    timer = PauseTimer(1, 1, lambda: fired.append(None))
    now_s = asyncio.get_running_loop().time()
    timer.restart(now_s, now_s, 0, False)
    await asyncio.sleep(0.02)
    assert (len(fired), timer.due_s) == (1, None)
    timer.restart(now_s, now_s, 0, False)
    timer.cancel()
    await asyncio.sleep(0.02)
    assert len(fired) == 1
