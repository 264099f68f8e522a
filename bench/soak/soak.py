"""A server among strangers: do tasks, descriptors, threads, slots and memory come back to where they began?

    make soak ARGS="--seconds 3600 --callers 40"

It starts a server, lets strangers in for a while, so that all is made that is made but once, and looks what it holds.
Then strangers come for the stated time: some hear it out, some cancel, some vanish, some stall, some talk rubbish. When
all are gone it looks again. The exit code is 1 where something was kept, or where the server broke a promise.
"""

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

from sayline_tts.bench.load.own_server import SAYLINE, OwnServer, own_server
from sayline_tts.bench.soak.resource_snapshot import Residue
from sayline_tts.bench.soak.soak_client import Tally
from sayline_tts.bench.soak.soak_scenarios import visit

SETTLE_S = 60.0
LOOK_EVERY_S = 0.25
WARM_UP_S = 20.0
# So that all that the server does by the clock happens often.
ENVIRONMENT = {
    "SAYLINE_RESUME_S": "1",
    "SAYLINE_SLOW_CONSUMER_S": "2",
    "SAYLINE_HEARTBEAT_S": "3",
    "SAYLINE_SESSION_IDLE_S": "5",
    "SAYLINE_CONTEXT_IDLE_S": "5",
    "SAYLINE_SLOTS": "8",
    "SAYLINE_MAX_WAITING": "8",
    # oneDNN keeps what it has compiled for every shape, 1024 of them, and would grow by 100 MB in an hour.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16",
    "SAYLINE_LOG_LEVEL": "warning",
}


@dataclass(frozen=True)
class Soak:
    seconds: float
    callers: int
    seed: int
    flags: tuple[str, ...] = ("--variant", "embedded")
    warm_up_s: float = WARM_UP_S

    async def run(self) -> "Verdict":
        """Raises `ServerFailed` where the server dies."""
        async with own_server([*SAYLINE, *self.flags], ENVIRONMENT) as server:
            await self._let_in(server, self.warm_up_s, Tally(), "warm-up")
            before = await settled(server, None)
            tally = Tally()
            await self._let_in(server, self.seconds, tally, "soak")
            return Verdict(tally, before, await settled(server, before))

    async def _let_in(self, server: OwnServer, seconds: float, tally: Tally, phase: str) -> None:
        until_s = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(self.callers):
                rng = random.Random(f"{self.seed} {phase} {number}")
                group.create_task(_come_and_go(server.address, rng, tally, until_s))


@dataclass(frozen=True)
class Verdict:
    tally: Tally
    before: Residue
    after: Residue

    @property
    def kept(self) -> list[str]:
        return self.after.above(self.before)

    @property
    def passed(self) -> bool:
        return not self.kept and not self.tally.faults

    def lines(self) -> list[str]:
        told = [f"{name:21} {count:8}" for name, count in sorted(self.tally.visits.items())]
        told += ["", "contexts ended with"]
        told += [f"{name:21} {count:8}" for name, count in sorted(self.tally.ends.items())]
        told += ["", f"{'':21} {'before':>8} {'after':>8}"]
        for each in fields(Residue):
            mark = "  <- kept" if each.name in self.kept else ""
            before, after = getattr(self.before, each.name), getattr(self.after, each.name)
            told.append(f"{each.name:21} {before:8.0f} {after:8.0f}{mark}")
        told += ["", *(f"FAULT {name}: {count} times" for name, count in self.tally.faults.items())]
        return [*told, "All is back where it began." if self.passed else "Not all is well."]


async def settled(server: OwnServer, before: Residue | None) -> Residue:
    """What the server holds once nobody is there and nothing more is given back, or `SETTLE_S` later."""
    until_s = time.monotonic() + SETTLE_S
    last: Residue | None = None
    while True:
        residue = await Residue.read(server.pid, server.address)
        empty = not residue.sessions and not residue.contexts and not residue.slots_used
        done = not residue.above(before) if before is not None else residue.without_memory == last
        if (empty and done) or time.monotonic() > until_s:
            return residue
        last = residue.without_memory
        await asyncio.sleep(LOOK_EVERY_S)


async def _come_and_go(address: str, rng: random.Random, tally: Tally, until_s: float) -> None:
    """Visit after visit; who is still there when the time is over vanishes."""
    try:
        async with asyncio.timeout(until_s - time.monotonic()) as limit:
            while True:
                await visit(address, rng, tally)
                await asyncio.sleep(rng.random() / 10)
    except TimeoutError:
        assert limit.expired()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="how long strangers come")
    parser.add_argument("--callers", type=int, default=16, help="how many at once")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same visits")
    parser.add_argument("flags", nargs="*", help="of `sayline serve`, behind --", default=["--variant", "embedded"])
    options = parser.parse_args(arguments)
    print(f"Strangers come for {options.seconds:.0f} s, {options.callers} at once ...", file=sys.stderr, flush=True)
    soak = Soak(options.seconds, options.callers, options.seed, tuple(options.flags))
    verdict = asyncio.run(soak.run())
    print("\n".join(verdict.lines()))
    raise SystemExit(not verdict.passed)


if __name__ == "__main__":
    main()
