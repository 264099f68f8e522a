"""Soak test: after many misbehaving clients, do tasks, descriptors, threads, slots and memory return to their start?

    make soak ARGS="--seconds 3600 --callers 40"

Starts a server, runs clients as a warm-up, and takes a snapshot of its resources. Then clients run for the given time:
some receive everything, some cancel, disconnect, stop reading, or send garbage. When all are gone it takes another
snapshot. The exit code is 1 if resources leaked, the server violated the protocol, or it logged an error of its own.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from sayline_tts.bench.load.own_server import SAYLINE, OwnServer, own_server
from sayline_tts.bench.soak.resource_snapshot import ResourceSnapshot
from sayline_tts.bench.soak.soak_client import SoakTally
from sayline_tts.bench.soak.soak_scenarios import run_scenario

ERROR_LEVELS = ("error", "critical")
SETTLE_S = 60.0
LOOK_EVERY_S = 0.25
WARM_UP_S = 20.0
# Short timeouts, so that everything timed happens often.
ENVIRONMENT = {
    "SAYLINE_RESUME_S": "1",
    "SAYLINE_SLOW_CONSUMER_S": "2",
    "SAYLINE_HEARTBEAT_S": "3",
    "SAYLINE_SESSION_IDLE_S": "5",
    "SAYLINE_CONTEXT_IDLE_S": "5",
    "SAYLINE_SLOTS": "8",
    "SAYLINE_MAX_WAITING": "8",
    # By default oneDNN caches 1,024 compiled shapes, and would grow by 100 MB in an hour.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16",
    "SAYLINE_LOG_LEVEL": "warning",
    "SAYLINE_LOG_FORMAT": "json",
}


@dataclass(frozen=True)
class Soak:
    seconds: float
    callers: int
    seed: int
    flags: tuple[str, ...] = ("--variant", "embedded")
    warm_up_s: float = WARM_UP_S

    async def run(self) -> "Verdict":
        """Run the test. Raises `ServerFailed` if the server exits."""
        errors: Counter[str] = Counter()
        async with own_server(
            [*SAYLINE, *self.flags], ENVIRONMENT, on_line=lambda line: errors.update(error_in(line))
        ) as server:
            await self._run_clients(server, self.warm_up_s, SoakTally(), "warm-up")
            before = await settled(server, None)
            tally = SoakTally()
            await self._run_clients(server, self.seconds, tally, "soak")
            return Verdict(tally, before, await settled(server, before), errors)

    async def _run_clients(self, server: OwnServer, seconds: float, tally: SoakTally, phase: str) -> None:
        until_s = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for number in range(self.callers):
                rng = random.Random(f"{self.seed} {phase} {number}")
                group.create_task(_run_client(server.address, rng, tally, until_s))


@dataclass(frozen=True)
class Verdict:
    tally: SoakTally
    before: ResourceSnapshot
    after: ResourceSnapshot
    errors: Counter[str] = field(default_factory=Counter)  # logged by the server, by their message

    @property
    def leaked(self) -> list[str]:
        return self.after.leaked_since(self.before)

    @property
    def passed(self) -> bool:
        return not self.leaked and not self.tally.faults and not self.errors

    def lines(self) -> list[str]:
        lines = [f"{name:21} {count:8}" for name, count in sorted(self.tally.runs_by_scenario.items())]
        lines += ["", "contexts ended with"]
        lines += [f"{name:21} {count:8}" for name, count in sorted(self.tally.ends.items())]
        lines += ["", f"{'':21} {'before':>8} {'after':>8}"]
        for each in fields(ResourceSnapshot):
            mark = "  <- leaked" if each.name in self.leaked else ""
            before, after = getattr(self.before, each.name), getattr(self.after, each.name)
            lines.append(f"{each.name:21} {before:8.0f} {after:8.0f}{mark}")
        lines += ["", *(f"FAULT {name}: {count} times" for name, count in self.tally.faults.items())]
        lines += [f"SERVER ERROR {message}: {count} times" for message, count in self.errors.items()]
        return [*lines, "PASSED: all resources were released." if self.passed else "FAILED"]


def error_in(line: str) -> list[str]:
    """Return the message of a line of the server's log if it is an error of its own."""
    try:
        record = json.loads(line)
    except ValueError:  # not a log line: a warning of a library, or a traceback at exit
        return [line] if line.startswith("Traceback") else []
    return [record["message"]] if isinstance(record, dict) and record.get("level") in ERROR_LEVELS else []


async def settled(server: OwnServer, before: ResourceSnapshot | None) -> ResourceSnapshot:
    """Return the resources once all clients are gone and no more are released, at most `SETTLE_S` later."""
    until_s = time.monotonic() + SETTLE_S
    last: ResourceSnapshot | None = None
    while True:
        snapshot = await ResourceSnapshot.read(server.pid, server.address)
        empty = not snapshot.sessions and not snapshot.contexts and not snapshot.slots_used
        done = not snapshot.leaked_since(before) if before is not None else snapshot.without_memory == last
        if (empty and done) or time.monotonic() > until_s:
            return snapshot
        last = snapshot.without_memory
        await asyncio.sleep(LOOK_EVERY_S)


async def _run_client(address: str, rng: random.Random, tally: SoakTally, until_s: float) -> None:
    """Run scenarios one after another; abort the last when the time is over."""
    try:
        async with asyncio.timeout(until_s - time.monotonic()) as limit:
            while True:
                await run_scenario(address, rng, tally)
                await asyncio.sleep(rng.random() / 10)
    except TimeoutError:
        assert limit.expired()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the test")
    parser.add_argument("--callers", type=int, default=16, help="number of concurrent clients")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same scenarios")
    parser.add_argument(
        "flags", nargs="*", help="flags of `sayline serve`, after --", default=["--variant", "embedded"]
    )
    options = parser.parse_args(arguments)
    print(f"Running {options.callers} clients for {options.seconds:.0f} s ...", file=sys.stderr, flush=True)
    soak = Soak(options.seconds, options.callers, options.seed, tuple(options.flags))
    verdict = asyncio.run(soak.run())
    print("\n".join(verdict.lines()))
    raise SystemExit(not verdict.passed)


if __name__ == "__main__":
    main()
