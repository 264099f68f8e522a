"""An engine's agent, with child processes that stand in for the engine."""

import ctypes
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from sayline_tts.server.cluster import agent as agent_module
from sayline_tts.server.cluster import launch
from sayline_tts.server.cluster.agent import Agent
from sayline_tts.server.cluster.engine_process import EngineProcess
from sayline_tts.server.cluster.report import EngineReport, State

WAIT_S = 20.0
HEALTH = {"status": "ok", "speaking": 3, "waiting": 1, "capacity": 32, "fronts": 2}
# Prints what an engine does, and then runs what its first argument says.
READY = """
import os, signal, sys, time
print("Loading the model ...")
print("Metrics and health are at " + os.environ["HEALTH"] + ".")
print("Sayline's engine is ready at 127.0.0.1:8201: embedded, int8 cpu avx2, about 32 listeners at once.")
"""
SERVE = f"{READY}\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\ntime.sleep(60)"


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(HEALTH).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def health() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "REPORT_S", 0.02)
    monkeypatch.setattr(agent_module, "CALM_S", 0.0)


def starting(code: str) -> Callable[[Mapping[str, str], tuple[int, ...]], EngineProcess]:
    return lambda environment, cores: EngineProcess(environment, (), [sys.executable, "-c", code])


class Run:
    """An agent that runs on a thread."""

    def __init__(self, code: str, health: str = "", cores: int = 0) -> None:
        self.reports: list[EngineReport] = []
        self.again: bool | None = None
        self.agent = Agent("sayline-engine-1", "127.0.0.1", cores, {"HEALTH": health}, self._take, starting(code))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _take(self, report: EngineReport) -> None:
        self.reports.append(report)

    def _run(self) -> None:
        self.again = self.agent.run()

    def ended(self) -> bool | None:
        self._thread.join(WAIT_S)
        return self.again

    def until(self, state: State) -> EngineReport:
        deadline_s = time.monotonic() + WAIT_S
        while not self.reports or self.reports[-1].state is not state:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        return self.reports[-1]


def test_ready_engine_is_reported_with_its_load_and_drains(health: str) -> None:
    run = Run(SERVE, health)
    ready = run.until(State.READY)
    assert (ready.host, ready.port, ready.serves) == ("127.0.0.1", 8201, True)
    assert (ready.speaking, ready.waiting, ready.capacity, ready.fronts) == (3, 1, 32, 2)
    assert run.reports[0].state is State.STARTING
    run.agent.drain()
    assert run.ended() is False
    assert (run.reports[-1].state, run.reports[-1].port) == (State.STOPPED, 0)


def test_engine_that_drains_is_reported_as_such(health: str) -> None:
    run = Run(SERVE.replace("sys.exit(0)", "time.sleep(0.5) or sys.exit(0)"), health)
    run.until(State.READY)
    run.agent.drain()
    assert run.until(State.DRAINING).serves
    assert run.ended() is False


def test_engine_that_dies_is_started_again(health: str) -> None:
    run = Run(f"{READY}\ntime.sleep(0.2)\nos._exit(3)", health)
    assert run.ended() is True
    assert Run("import sys; sys.exit(1)").ended() is True


def test_engine_whose_settings_are_wrong_is_not() -> None:
    run = Run("import sys; sys.exit(2)")
    assert run.ended() is False
    assert run.reports[-1].state is State.FAILED
    assert "settings" in run.reports[-1].message


def test_engine_serves_on_while_the_registry_is_away(health: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Run, report: EngineReport) -> None:
        self.reports.append(report)
        raise TimeoutError

    monkeypatch.setattr(Run, "_take", fail)
    run = Run(SERVE, health)
    run.until(State.READY)
    run.agent.drain()
    assert run.ended() is False


def test_engine_without_an_answer_stays_as_it_was() -> None:
    run = Run(f"{READY}\ntime.sleep(0.3)", "127.0.0.1:1")
    assert run.ended() is False
    assert {each.state for each in run.reports} == {State.STARTING, State.STOPPED}


def test_engine_gets_addresses_and_cores_of_its_own() -> None:
    given: list[tuple[Mapping[str, str], tuple[int, ...]]] = []

    def start(environment: Mapping[str, str], cores: tuple[int, ...]) -> EngineProcess:
        given.append((environment, cores))
        return EngineProcess({}, (), [sys.executable, "-c", ""])

    agent = Agent("sayline-engine-1", "10.0.0.7", 1, {"SAYLINE_VARIANT": "embedded"}, lambda _: None, start)
    assert agent.run() is False
    ((environment, cores),) = given
    assert environment == {
        "SAYLINE_VARIANT": "embedded",
        "SAYLINE_HOST": "10.0.0.7",
        "SAYLINE_ENGINE_PORT": "0",
        "SAYLINE_METRICS_PORT": "0",
    }
    assert len(cores) <= 1
    assert set(cores) <= os.sched_getaffinity(0)


def test_process_ends_with_the_thread_that_started_it() -> None:
    """As if the actor's process were killed. And the launcher puts it on its cores."""
    code = (
        "import os, time; cores = len(os.sched_getaffinity(0)); "
        """print(f"Sayline's engine is ready at h:{8000 + cores}: x", flush=True); time.sleep(60)"""
    )
    core = min(os.sched_getaffinity(0))
    program = f"from sayline_tts.server.cluster import launch; launch.PROGRAM = {code!r}; launch.launch('{core}')"
    started: list[EngineProcess] = []

    def run() -> None:
        process = EngineProcess({}, (), [sys.executable, "-c", program])
        started.append(process)
        deadline_s = time.monotonic() + WAIT_S
        while not process.port and time.monotonic() < deadline_s:
            time.sleep(0.01)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    (process,) = started
    assert process.port == 8001
    deadline_s = time.monotonic() + WAIT_S
    while process.exit_code is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    process.close()


@pytest.mark.parametrize("allowed", [True, False])
def test_low_priority_of_rays_processes_is_undone_where_allowed(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    priorities: list[int] = []
    programs: list[list[str]] = []

    def set_priority(which: int, who: int, priority: int) -> None:
        if not allowed:
            raise PermissionError
        priorities.append(priority)

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(prctl=lambda *_: 0))
    monkeypatch.setattr(os, "getpriority", lambda *_: 15)
    monkeypatch.setattr(os, "setpriority", set_priority)
    monkeypatch.setattr(os, "execv", lambda _, arguments: programs.append(arguments))
    launch.launch()
    assert priorities == ([0] if allowed else [])
    assert programs[0][-1] == "engine"
