"""Which engines there are, where, and how loaded; starts and stops engines as their load asks for.

What it knows comes from the engines' agents, each of which reports every second. So a registry that died and was
restarted knows everything again after a second or two; until then it stops none.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from sayline_tts.server.cluster.report import EngineReport, State
from sayline_tts.server.cluster.scaler import Scaler

NAME_PREFIX = "sayline-engine-"
SILENCE_S = 5.0  # after which an engine counts as lost; Ray restarts it
LEARN_S = 15.0  # after a start, in which engines of an earlier life report


class Registry:
    """`start(name)` has an engine started under this name, if none has it; `drain(name)` has it stop without a gap;
    `remove(name)` takes away one that has stopped.
    """

    def __init__(
        self,
        scaler: Scaler,
        start: Callable[[str], None],
        drain: Callable[[str], None],
        remove: Callable[[str], None],
        now_s: Callable[[], float],
    ) -> None:
        self._scaler, self._start, self._drain, self._remove, self._now_s = scaler, start, drain, remove, now_s
        self._reports: dict[str, EngineReport] = {}
        self._heard_s: dict[str, float] = {}
        self._begun_s, self._stopping = now_s(), False
        for _ in range(scaler.minimum):
            self._add()

    def report(self, report: EngineReport) -> None:
        """An engine tells how it is."""
        if self._stopping and report.name not in self._reports:
            return
        self._reports[report.name], self._heard_s[report.name] = report, self._now_s()
        if report.state is State.STOPPED:
            self._forget(report.name)

    def engines(self) -> list[tuple[str, int]]:
        """Host and port of those that fronts should be connected to."""
        return sorted((each.host, each.port) for each in self.reports() if each.serves)

    def reports(self) -> list[EngineReport]:
        """The last report of each engine, by name."""
        late_s = self._now_s() - SILENCE_S
        return [
            replace(each, state=State.LOST) if each.port and self._heard_s[each.name] < late_s else each
            for each in sorted(self._reports.values(), key=lambda each: _number(each.name))
        ]

    def adjust(self) -> None:
        """Start or stop engines, as their load asks for. Call it every few seconds."""
        now_s = self._now_s()
        if self._stopping or now_s - self._begun_s < LEARN_S:
            return
        engines = [each for each in self.reports() if each.state is not State.DRAINING]
        wanted = self._scaler.wanted(engines, now_s)
        for _ in range(wanted - len(engines)):
            self._add()
        ready = [each for each in engines if each.state is State.READY]
        if wanted < len(engines) and ready:
            least = min(ready, key=lambda each: (each.speaking, -_number(each.name)))
            self._begin_drain(least)

    def stop(self) -> None:
        """Drain all that speak, take away the others, and start no new ones."""
        self._stopping = True
        for each in self.reports():
            if each.state is State.READY:
                self._begin_drain(each)
            elif each.state is not State.DRAINING:
                self._forget(each.name)

    def _begin_drain(self, engine: EngineReport) -> None:
        self._reports[engine.name] = replace(engine, state=State.DRAINING)
        self._drain(engine.name)

    def _add(self) -> None:
        name = next(name for name in _names() if name not in self._reports)
        self._reports[name], self._heard_s[name] = EngineReport(name, State.STARTING, ""), self._now_s()
        self._start(name)

    def _forget(self, name: str) -> None:
        del self._reports[name], self._heard_s[name]
        self._remove(name)


def _names() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"{NAME_PREFIX}{number}"


def _number(name: str) -> int:
    return int(name.removeprefix(NAME_PREFIX))
