"""Runs one engine on its machine and reports to the registry how it is."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from sayline_tts.engine.device import allowed_cores
from sayline_tts.server.cluster.cores import CoreLocks
from sayline_tts.server.cluster.engine_process import EngineProcess
from sayline_tts.server.cluster.report import EngineReport, State

log = logging.getLogger(__name__)

REPORT_S = 1.0
CALM_S = 5.0  # before another start, if the engine died before it was ready
USAGE_ERROR = 2  # exit code: a setting is wrong, and a restart would not help
FREE_PORT = "0"


class Agent:
    """`report` may raise: then the registry is away, and the engine serves on. `host`: where fronts reach it."""

    def __init__(
        self,
        name: str,
        host: str,
        cores: int,
        environment: Mapping[str, str],
        report: Callable[[EngineReport], None],
        start: Callable[[Mapping[str, str], tuple[int, ...]], EngineProcess] = EngineProcess,
    ) -> None:
        self._locks = CoreLocks(cores, allowed_cores()) if cores else None
        own = self._locks.cores if self._locks is not None else ()
        addresses = {"SAYLINE_HOST": host, "SAYLINE_ENGINE_PORT": FREE_PORT, "SAYLINE_METRICS_PORT": FREE_PORT}
        self._process = start({**environment, **addresses}, own)
        self._send = report
        self._last = EngineReport(name, State.STARTING, host, pid=self._process.pid, cores=own)

    def drain(self) -> None:
        self._process.drain()

    def run(self) -> bool:
        """Report until the engine ends. Returns whether it should be started again."""
        while (code := self._process.exit_code) is None:
            self._report(self._look())
            time.sleep(REPORT_S)
        was_ready = self._process.port > 0
        self._process.close()
        if self._locks is not None:
            self._locks.close()
        if self._process.draining or code == 0:
            self._report(replace(self._last, state=State.STOPPED, port=0))
            return False
        if code == USAGE_ERROR:
            message = "its settings do not fit this machine; its log says why"
            self._report(replace(self._last, state=State.FAILED, port=0, message=message))
            return False
        log.error("engine %s ended with exit code %d", self._last.name, code)
        if not was_ready:
            time.sleep(CALM_S)
        return True

    def _look(self) -> EngineReport:
        health = self._process.health()
        if health is None:
            return self._last
        return replace(
            self._last,
            state=State.DRAINING if self._process.draining else State.READY,
            port=self._process.port,
            speaking=health["speaking"],
            waiting=health["waiting"],
            capacity=health["capacity"],
            fronts=health["fronts"],
        )

    def _report(self, report: EngineReport) -> None:
        self._last = report
        try:
            self._send(report)
        except Exception as error:
            log.warning("the registry cannot be reached (%s); the engine goes on", type(error).__name__)


def end_process() -> None:
    """End this process in a way that counts as a failure, so that Ray starts it again."""
    os._exit(1)
