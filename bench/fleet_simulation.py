"""Simulate a fleet of many engines on a virtual clock: `python -m sayline_tts.bench.fleet_simulation`.

Fronts place utterances with their real code (`Assignments`), from what engines have last told of their load, as on the
wire. An engine is its real cost model (`CostModel`), with curves that a server has profiled: how many it can serve, how
long a step, a prefill and a group of decoded frames take. Its steps are not simulated one by one. A first frame waits
for the pass that runs, for the prefills before its own, and for a decode worker. What moves from a dead engine also
waits for the steps through its segment and for the frames that the codec has to decode again.

Engines and fronts are in cells: each front is connected to all engines of its cell and to no other.
"""

import argparse
import heapq
import itertools
import json
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from sayline_tts.engine.scheduling.cost_model import CostCurve, CostModel
from sayline_tts.server.fleet.assignments import Assignments
from sayline_tts.server.fleet.placement import Candidate
from sayline_tts.server.fleet.wire import Load

FRAME_MS = 80.0
TICK_MS = 50.0  # between two reports of an engine's load, at most: `engine_server.TICK_S`
NETWORK_MS = 1.0  # from front to engine or back; encoding included
SILENCE_MS = 200.0  # `--engine-silence-ms`, if a machine dies without a word
HISTORY_FRAMES = 36  # that the codec decodes again
SEGMENT_TOKENS, SEGMENT_FRAMES = 40, 60
MIN_SPEECH_MS, MAX_SPEECH_MS = 500.0, 30_000.0
WORKERS = 2  # that decode

# Profiled by a server at its start: embedded voice, float32, two cores of an AMD EPYC (family 25, model 1), not quiet.
COSTS = {
    "flow_lm": [(1, 6.69), (4, 9.07), (15, 9.34), (28, 12.96), (91, 32.39)],
    "prefill": [(40, 13.97), (120, 41.35)],
    "codec": [(1, 6.59), (2, 6.84), (3, 9.90), (5, 10.94), (6, 12.64), (8, 15.74), (10, 22.92)],
    "step": [(1, 14.77), (4, 27.85), (15, 48.44), (28, 48.44), (91, 152.26)],
}


def profiled_costs() -> CostModel:
    flow_lm, prefill, codec, step = (CostCurve(list(points)) for points in COSTS.values())
    return CostModel(flow_lm, prefill, codec, step)


@dataclass(frozen=True)
class Plan:
    """`deaths_per_hour`: share of the engines. `silent`: of those that die, how many are noticed by silence alone."""

    listeners: int = 100_000
    engines: int = 2_000
    cells: int = 40
    fronts_per_cell: int = 5
    speech_s: float = 6.0
    pause_s: float = 4.0
    lead_ms: float = 1_000.0
    deaths_per_hour: float = 0.01
    silent: float = 0.5
    restart_s: float = 30.0  # until another engine is in its place
    seconds: float = 300.0
    seed: int = 1


@dataclass
class Engine:
    """`changes`: when how many began or ended, and for which front; those that no front has been told of yet."""

    capacity: int
    slots: int
    speaking: int = 0
    alive: bool = True
    free_at_ms: float = 0.0  # behind the prefills that wait
    changes: deque[tuple[float, int, int]] = field(default_factory=deque)
    links: list["Link"] = field(default_factory=list)


@dataclass(eq=False)
class Utterance:
    """What the real placement has to know, and what is measured."""

    asked_ms: float
    speech_ms: float
    front: int
    id: int = 0
    kind: str | None = None
    first_ms: float = math.inf  # when its first audio is heard
    end_ms: float = math.inf  # when its last is
    lost_ms: float | None = None  # when its engine died
    between_parts: bool = False

    @property
    def begun(self) -> bool:
        return self.first_ms < math.inf


class Link:
    """A front's view of an engine."""

    def __init__(self, engine: Engine, front: int, now: Callable[[], float], begin: Callable[..., None]) -> None:
        self.engine, self.front, self._now, self._begin = engine, front, now, begin
        self.utterances: dict[int, Utterance] = {}
        self._numbers = itertools.count(1)

    @property
    def candidate(self) -> Candidate:
        engine, told_ms = self.engine, self._now() // TICK_MS * TICK_MS
        while engine.changes and engine.changes[0][0] < told_ms:
            engine.changes.popleft()
        untold = sum(change for _, change, _ in engine.changes)
        placed = sum(change > 0 and front == self.front for _, change, front in engine.changes)
        speaking = engine.speaking - untold
        load = Load(engine.capacity, speaking, 0, engine.slots, speaking, 0, 1, 0, 0.0, False)
        return Candidate("cpu", load, placed)

    def place(self, remote: Utterance) -> None:
        remote.id = next(self._numbers)
        self.utterances[remote.id] = remote
        self._begin(self, remote)

    def remove(self, remote: Utterance) -> None:
        del self.utterances[remote.id]

    def forget(self, number: int) -> None:
        raise AssertionError("no engine drains here")

    def take_all(self) -> list[Utterance]:
        taken = list(self.utterances.values())
        self.utterances.clear()
        return taken


@dataclass
class Results:
    first_audio_ms: list[float] = field(default_factory=list)
    recovery_ms: list[float] = field(default_factory=list)
    underrun_ms: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)  # share of the capacity of each engine, once a second
    waited: int = 0
    deaths: int = 0

    def table(self) -> dict[str, float]:
        def percentile(values: Sequence[float], share: float) -> float:
            return round(float(np.percentile(values, share)), 1) if values else math.nan

        return {
            "utterances": len(self.first_audio_ms),
            "first audio p50 ms": percentile(self.first_audio_ms, 50),
            "first audio p95 ms": percentile(self.first_audio_ms, 95),
            "first audio p99.9 ms": percentile(self.first_audio_ms, 99.9),
            "waited in a front's queue": self.waited,
            "load mean": round(float(np.mean(self.load)), 3) if self.load else math.nan,
            "load p99.9": percentile(self.load, 99.9),
            "engines that died": self.deaths,
            "utterances that moved": len(self.recovery_ms),
            "until the next sample p50 ms": percentile(self.recovery_ms, 50),
            "until the next sample p95 ms": percentile(self.recovery_ms, 95),
            "underruns": len(self.underrun_ms),
            "longest underrun ms": round(max(self.underrun_ms, default=0.0), 1),
        }


class Simulation:
    def __init__(self, plan: Plan, costs: CostModel | None = None) -> None:
        self.plan, self.results, self.now_ms = plan, Results(), 0.0
        self._draw = random.Random(plan.seed)
        self._costs = costs or profiled_costs()
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._low_water_ms = plan.lead_ms / 2  # an engine makes the next frame when a listener is down to it
        capacity = self._costs.capacity(FRAME_MS, 256)
        self._passes = [self._busy(rows) for rows in range(2 * capacity + 1)]
        self.engines = [Engine(capacity, 2 * capacity) for _ in range(plan.engines)]
        self.fronts: list[Assignments[Utterance, Link]] = []
        self._connected: list[list[Link]] = []  # of each front
        for cell in range(plan.cells):
            for _ in range(plan.fronts_per_cell):
                self._add_front(self.engines[cell :: plan.cells])

    def run(self) -> Results:
        plan = self.plan
        for _ in range(plan.listeners):
            self._after(self._draw.uniform(0, 1000 * (plan.speech_s + plan.pause_s)), self._speak)
        self._after(1000.0, self._look)
        if plan.deaths_per_hour:
            self._plan_death()
        while self._events and self._events[0][0] < 1000 * plan.seconds:
            self.now_ms, _, do = heapq.heappop(self._events)
            do()
        return self.results

    # Listeners

    def _speak(self) -> None:
        """A listener wants to hear something, of the front that its load balancer has chosen."""
        speech_ms = min(max(self._draw.expovariate(1 / (1000 * self.plan.speech_s)), MIN_SPEECH_MS), MAX_SPEECH_MS)
        front = self._draw.randrange(len(self.fronts))
        assignments = self.fronts[front]
        assignments.queue.append(Utterance(self.now_ms, speech_ms, front))
        assignments.place_waiting()
        self.results.waited += bool(assignments.queue)

    def _begin(self, link: Link, utterance: Utterance) -> None:
        """An engine has got an utterance, new or moved."""
        engine = link.engine
        self._change(engine, 1, utterance.front)
        if not engine.alive:
            return  # its front does not know yet
        utterance.kind = "cpu"
        step_ms, step_share, group_ms, group_share = self._passes[min(engine.speaking, len(self._passes) - 1)]
        arrives_ms = self.now_ms + NETWORK_MS + self._residual_ms(step_ms, step_share)
        made_ms = engine.free_at_ms = max(arrives_ms, engine.free_at_ms) + self._costs.prefill(SEGMENT_TOKENS)
        decode_ms = self._residual_ms(group_ms, group_share) + self._costs.codec(1)
        if utterance.lost_ms is None:
            utterance.first_ms = made_ms + decode_ms + NETWORK_MS
            utterance.end_ms = utterance.first_ms + utterance.speech_ms
        else:
            frames = max(1, round((utterance.lost_ms - utterance.first_ms) / FRAME_MS))
            made_ms += self._draw.randrange(min(SEGMENT_FRAMES, frames)) * self._costs.flow_lm(1) / (1 - step_share)
            decode_ms += HISTORY_FRAMES / 10 * self._costs.codec(10) / (1 - group_share)
            self._recover(utterance, made_ms + decode_ms + NETWORK_MS)
        end_ms = utterance.end_ms
        self._after(end_ms - self.now_ms, lambda: self._end(link, utterance, end_ms))

    def _recover(self, utterance: Utterance, next_ms: float) -> None:
        """A moved utterance goes on: with a gap if its listener has heard all that the dead engine had made."""
        lost_ms, utterance.lost_ms = utterance.lost_ms, None
        assert lost_ms is not None, "it has lost no engine"
        age_ms = lost_ms - utterance.first_ms
        mean = round(self._costs.capacity(FRAME_MS, 256) / 2)
        gained_ms = FRAME_MS + age_ms * max(0.0, FRAME_MS / self._costs.step_ms(mean) - 1)
        lead_ms = min(self._low_water_ms + self._draw.random() * FRAME_MS, gained_ms)
        self.results.recovery_ms.append(next_ms - lost_ms)
        if (gap_ms := next_ms - lost_ms - lead_ms) > 0:
            self.results.underrun_ms.append(gap_ms)
            utterance.end_ms += gap_ms

    def _end(self, link: Link, utterance: Utterance, end_ms: float) -> None:
        if utterance.end_ms != end_ms or link.utterances.get(utterance.id) is not utterance:
            return  # it has moved
        front = self.fronts[utterance.front]
        front.ended(link, utterance.id)
        self._change(link.engine, -1, utterance.front)
        self.results.first_audio_ms.append(utterance.first_ms - utterance.asked_ms)
        if front.waiting:
            front.place_waiting()
        self._after(1000 * self._draw.expovariate(1 / self.plan.pause_s), self._speak)

    # Engines

    def _add_front(self, engines: Sequence[Engine]) -> None:
        number = len(self.fronts)
        links = [Link(engine, number, lambda: self.now_ms, self._begin) for engine in engines]
        for link in links:
            link.engine.links.append(link)
        self._connected.append(links)
        self.fronts.append(Assignments(lambda: self._connected[number], lambda _: None, self._draw))

    def _plan_death(self) -> None:
        per_ms = self.plan.engines * self.plan.deaths_per_hour / 3_600_000
        self._after(self._draw.expovariate(per_ms), self._die)

    def _die(self) -> None:
        self._plan_death()
        engine = self._draw.choice([each for each in self.engines if each.alive])
        engine.alive = False
        self.results.deaths += 1
        died_ms = self.now_ms
        silence_ms = SILENCE_MS if self._draw.random() < self.plan.silent else 0.0
        self._after(silence_ms, lambda: self._lose(engine, died_ms))
        self._after(1000 * self.plan.restart_s, lambda: self._restart(engine))

    def _lose(self, engine: Engine, died_ms: float) -> None:
        """All fronts notice: what was made to its end is heard to its end, the rest moves."""
        for link in engine.links:
            for utterance in list(link.utterances.values()):
                if utterance.end_ms - self._low_water_ms <= died_ms:
                    self._end(link, utterance, utterance.end_ms)
                elif utterance.first_ms <= died_ms:
                    utterance.lost_ms = died_ms
                else:
                    utterance.first_ms = utterance.end_ms = math.inf
        for link in engine.links:
            front = link.front
            self._connected[front].remove(link)
            self.fronts[front].lose(link, True, self.now_ms / 1000)
        for link in engine.links:
            self.fronts[link.front].place_waiting()

    def _restart(self, engine: Engine) -> None:
        engine.alive, engine.speaking, engine.free_at_ms = True, 0, 0.0
        engine.changes.clear()
        for link in engine.links:
            self._connected[link.front].append(link)
            self.fronts[link.front].place_waiting()

    def _change(self, engine: Engine, change: int, front: int) -> None:
        engine.speaking += change
        engine.changes.append((self.now_ms, change, front))

    def _look(self) -> None:
        self.results.load += [each.speaking / each.capacity for each in self.engines if each.alive]
        self._after(1000.0, self._look)

    # Time

    def _after(self, delay_ms: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._events, (self.now_ms + delay_ms, next(self._numbers), do))

    def _busy(self, rows: int) -> tuple[float, float, float, float]:
        """How long a pass of FlowLM and a group of the codec take, and the share of the time that each is running."""
        if not rows:
            return 0.0, 0.0, 0.0, 0.0
        pass_ms, groups = self._costs.flow_lm(rows), math.ceil(rows / 10)
        group_ms = self._costs.codec(math.ceil(rows / groups))
        return pass_ms, min(0.9, pass_ms / FRAME_MS), group_ms, min(0.9, groups * group_ms / FRAME_MS / WORKERS)

    def _residual_ms(self, busy_ms: float, share: float) -> float:
        """The rest of what is running at a random moment."""
        return self._draw.random() * busy_ms if self._draw.random() < share else 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m sayline_tts.bench.fleet_simulation", description=__doc__)
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    plan = Plan(**vars(parser.parse_args(arguments)))
    simulation = Simulation(plan)
    results = simulation.run().table()
    print(
        json.dumps({"plan": asdict(plan), "capacity of an engine": simulation.engines[0].capacity, **results}, indent=2)
    )


if __name__ == "__main__":
    main()
