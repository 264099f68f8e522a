"""The most listeners that a server keeps supplied, by bisection. Knows only a question that is answered yes or no."""

from collections.abc import Awaitable, Callable

Holds = Callable[[int], Awaitable[bool]]

RESOLUTION = 0.03  # of the result; it is not sharper than this from one run to the next


async def find_most(holds: Holds, guess: int, most: int) -> int:
    """The largest number that holds, within `RESOLUTION`; 0 if not even 1 does. Asks nothing twice."""
    good, bad = 0, most + 1
    listeners = min(max(guess, 1), most)
    while bad - good > step(good):
        if await holds(listeners):
            good = listeners
        else:
            bad = listeners
        if good == 0:
            listeners = bad // 2
        elif bad > most:
            listeners = min(most, max(good + 1, good * 3 // 2))
        else:
            listeners = (good + bad) // 2
    return good


async def confirm_most(holds: Holds, guess: int, most: int) -> int:
    """From a good guess step by step to the last that holds, where each answer is dear."""
    listeners = min(guess, most)
    if listeners > 0 and await holds(listeners):
        while listeners < most and await holds(min(listeners + step(listeners), most)):
            listeners = min(listeners + step(listeners), most)
        return listeners
    while listeners > 0:
        listeners = max(listeners - step(listeners), 0)
        if listeners and await holds(listeners):
            return listeners
    return 0


def step(listeners: int) -> int:
    return max(1, int(listeners * RESOLUTION))
