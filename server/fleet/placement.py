"""Which engine gets an utterance: of two drawn at random, the one with more slack."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sayline_tts.server.fleet.wire import Load

Item = TypeVar("Item")


@dataclass(frozen=True)
class Candidate:
    """`placed`: utterances given to it that its `load` does not count yet. `kind`: see `Hello`."""

    kind: str
    load: Load
    placed: int

    @property
    def free(self) -> int:
        return 0 if self.load.draining else self.load.free - self.placed

    @property
    def slack(self) -> float:
        """The share of it that is free."""
        return self.free / max(1, self.load.capacity)

    @property
    def free_slots(self) -> int:
        """For utterances that were admitted elsewhere: they need no more than a slot."""
        return 0 if self.load.draining else self.load.slots - self.load.slots_used - self.load.waiting - self.placed


def choose(
    engines: Sequence[Item], describe: Callable[[Item], Candidate], draw: random.Random, resumes: str | None = None
) -> Item | None:
    """Return the engine for one more utterance; None if all are full.

    `resumes`: the kind of the engine that the utterance was on. It goes to another of that kind if there is one, to the
    last bit, and needs only a slot.
    """
    if resumes is None and len(engines) > 2:  # so that a large fleet costs no more than a small one, unless it is full
        drawn = [(each, describe(each)) for each in draw.sample(engines, 2)]
        if all(candidate.free > 0 for _, candidate in drawn):
            return max(drawn, key=lambda pair: pair[1].slack)[0]
    described = [(each, describe(each)) for each in engines]
    if resumes is None:
        fit = [pair for pair in described if pair[1].free > 0]
    else:
        fit = [pair for pair in described if pair[1].free_slots > 0]
        fit = [pair for pair in fit if pair[1].kind == resumes] or fit
    if not fit:
        return None
    return max(draw.sample(fit, min(2, len(fit))), key=lambda pair: pair[1].slack)[0]
