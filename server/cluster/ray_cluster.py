"""The fleet's actors on a Ray cluster: one registry, and an agent for each engine. Nothing else here calls Ray.

All actors are detached: they outlive the command that made them. Ray restarts those that die, on another machine if
theirs is gone. Sayline and the same version of Ray must be installed on every machine.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from sayline_tts.engine.errors import InputError
from sayline_tts.server.cluster.agent import Agent, end_process
from sayline_tts.server.cluster.registry import Registry
from sayline_tts.server.cluster.report import EngineReport, State
from sayline_tts.server.cluster.scaler import Scaler

NAMESPACE = "sayline"
REGISTRY = "sayline-registry"
SCHEME = "ray://"
ANSWER_S = 10.0
ADJUST_S = 5.0
FOREVER = -1  # restarts


class ClusterError(InputError):
    code = "cluster"


@dataclass(frozen=True)
class FleetPlan:
    """`environment`: settings of all engines, as `SAYLINE_` variables."""

    minimum: int
    maximum: int
    cpus: float
    gpus: float
    environment: Mapping[str, str]


def import_ray() -> Any:
    """Raises `ClusterError` if it is not installed."""
    try:
        import ray
    except ImportError:
        raise ClusterError("engines on a cluster need Ray; install it with: pip install 'sayline[cluster]'") from None
    return ray


def connect(address: str) -> Any:
    """Ray's module, connected to a cluster. `address`: as Ray's own, or `ray://` for that of this machine. Raises
    `ClusterError`.
    """
    ray = import_ray()
    address = "auto" if address == SCHEME else address
    try:
        ray.init(address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, TimeoutError) as error:
        where = "on this machine" if address == "auto" else f"at {address}"
        reason = str(error).partition("\n")[0]
        raise ClusterError(f"no Ray cluster {where}: {reason}; start one with `ray start --head`") from None
    return ray


def find_registry(ray: Any) -> Any:
    """The registry's handle; None: there is no fleet."""
    try:
        return ray.get_actor(REGISTRY, namespace=NAMESPACE)
    except ValueError:
        return None


def require_registry(ray: Any) -> Any:
    """The registry's handle. Raises `ClusterError` if there is no fleet."""
    if (registry := find_registry(ray)) is None:
        raise ClusterError("there is no fleet; start one with `sayline cluster up`")
    return registry


def ask(ray: Any, call: Any) -> Any:
    """What an actor answers. Raises `ClusterError` if it does not in time."""
    try:
        return ray.get(call, timeout=ANSWER_S)
    except (ray.exceptions.GetTimeoutError, ray.exceptions.RayActorError) as error:
        raise ClusterError(f"the registry does not answer ({type(error).__name__}); try again") from None


def addresses(machines: list[dict[str, Any]]) -> list[str]:
    """Of the machines of a cluster that work, from `ray.nodes()`."""
    return sorted(machine["NodeManagerAddress"] for machine in machines if machine["Alive"])


def start(ray: Any, plan: FleetPlan) -> None:
    """Raises `ClusterError` if a fleet is there."""
    if find_registry(ray) is not None:
        raise ClusterError("a fleet is up already; see `sayline cluster status`, or end it with `sayline cluster down`")
    options = {"name": REGISTRY, "lifetime": "detached", "num_cpus": 0, "max_restarts": FOREVER, "max_task_retries": 3}
    ray.remote(RegistryActor).options(**options).remote(plan)


def stop(ray: Any, drain_s: float) -> int:
    """Drain all engines and end their actors and the registry. Returns how many engines there were."""
    registry = require_registry(ray)
    names = [each.name for each in ask(ray, registry.reports.remote())]
    ask(ray, registry.stop.remote())
    deadline_s = time.monotonic() + drain_s
    while time.monotonic() < deadline_s and ask(ray, registry.reports.remote()):
        time.sleep(0.5)
    for name in names:
        remove_engine(ray, name)
    ray.kill(registry, no_restart=True)
    return len(names)


def remove_engine(ray: Any, name: str) -> None:
    try:
        ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
    except ValueError:  # it is gone
        return


class RegistryActor:
    """`Registry` as an actor, which makes and ends the actors of engines."""

    def __init__(self, plan: FleetPlan) -> None:
        self._ray, self._plan, self._lock = import_ray(), plan, threading.Lock()
        scaler = Scaler(plan.minimum, plan.maximum)
        self._registry = Registry(scaler, self._start_engine, self._drain, self._remove, time.monotonic)
        self._over = threading.Event()
        threading.Thread(target=self._adjust, name="adjust", daemon=True).start()

    def report(self, report: EngineReport) -> None:
        with self._lock:
            self._registry.report(report)

    def engines(self) -> list[tuple[str, int]]:
        with self._lock:
            return self._registry.engines()

    def reports(self) -> list[EngineReport]:
        with self._lock:
            return self._registry.reports()

    def stop(self) -> None:
        self._over.set()
        with self._lock:
            self._registry.stop()

    def _adjust(self) -> None:
        while not self._over.wait(ADJUST_S):
            with self._lock:
                self._registry.adjust()

    def _start_engine(self, name: str) -> None:
        plan = self._plan
        options = {
            "name": name, "lifetime": "detached", "get_if_exists": True, "max_restarts": FOREVER,
            "num_cpus": plan.cpus, "num_gpus": plan.gpus,
        }  # fmt: skip
        self._ray.remote(EngineActor).options(**options).remote(name, int(plan.cpus), plan.environment)

    def _drain(self, name: str) -> None:
        try:
            self._ray.get_actor(name, namespace=NAMESPACE).drain.remote()
        except ValueError:
            logging.getLogger(__name__).warning("engine %s is gone", name)

    def _remove(self, name: str) -> None:
        remove_engine(self._ray, name)


class EngineActor:
    """`Agent` as an actor. It ends with an error if its engine does, and Ray makes it anew."""

    def __init__(self, name: str, cores: int, environment: Mapping[str, str]) -> None:
        self._ray = import_ray()
        self._agent: Agent | None = None
        self._begun = threading.Event()
        host = self._ray.util.get_node_ip_address()
        # The engine ends with the thread that starts it, so that must be one that lasts.
        run = threading.Thread(target=self._run, args=(name, host, cores, environment), name="engine", daemon=True)
        run.start()
        self._begun.wait()

    def drain(self) -> None:
        if self._agent is not None:
            self._agent.drain()

    def _run(self, name: str, host: str, cores: int, environment: Mapping[str, str]) -> None:
        try:
            self._agent = Agent(name, host, cores, environment, self._report)
            self._begun.set()
            again = self._agent.run()
        except BaseException:
            logging.getLogger(__name__).exception("the agent of an engine failed")
            again = True
        if again:
            end_process()

    def _report(self, report: EngineReport) -> None:
        registry = self._ray.get_actor(REGISTRY, namespace=NAMESPACE)
        self._ray.get(registry.report.remote(report), timeout=ANSWER_S)


def as_rows(reports: list[EngineReport]) -> list[dict[str, Any]]:
    return [{**asdict(each), "state": each.state.value} for each in reports]


def wait_ready(ray: Any, count: int, limit_s: float, tell: Callable[[list[EngineReport]], None]) -> None:
    """Until so many engines are ready. Raises `ClusterError` if one has failed, or after `limit_s`."""
    deadline_s = time.monotonic() + limit_s
    while True:
        reports: list[EngineReport] = []
        if (registry := find_registry(ray)) is not None:
            with suppress(ClusterError):  # its process starts, which may take long
                reports = ask(ray, registry.reports.remote())
        tell(reports)
        if failed := [each for each in reports if each.state is State.FAILED]:
            raise ClusterError(f"{failed[0].name} at {failed[0].host}: {failed[0].message}")
        if sum(each.state is State.READY for each in reports) >= count:
            return
        if time.monotonic() > deadline_s:
            raise ClusterError(
                f"{count} engines are not ready after {limit_s:g} s; `sayline cluster status` shows what they do, and "
                "`ray status` whether the cluster has the resources that they wait for"
            )
        time.sleep(1.0)
