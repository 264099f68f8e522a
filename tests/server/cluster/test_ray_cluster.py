"""The fleet's actors, on a fake of Ray."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from sayline_tts.server.cluster import ray_cluster, watch
from sayline_tts.server.cluster.ray_cluster import NAMESPACE, REGISTRY, ClusterError, EngineActor, FleetPlan
from sayline_tts.server.cluster.registry import Registry
from sayline_tts.server.cluster.report import EngineReport, State
from tests.server.cluster.fake_ray import FakeRay

PLAN = FleetPlan(2, 3, 1.0, 0.5, {"SAYLINE_VARIANT": "embedded"})
NAMES = ["sayline-engine-1", "sayline-engine-2"]
WAIT_S = 20.0


class FakeAgent:
    """Ready at once; ends when it is drained."""

    made: ClassVar[list["FakeAgent"]] = []
    dies = False

    def __init__(
        self, name: str, host: str, cores: int, environment: dict[str, str], report: Callable[[EngineReport], None]
    ) -> None:
        self.given = (name, host, cores, environment)
        self._last, self._report, self._over = (
            EngineReport(name, State.READY, host, 8201, capacity=32),
            report,
            threading.Event(),
        )
        self.made.append(self)

    def run(self) -> bool:
        self._report(self._last)
        if self.dies:
            return True
        self._over.wait(WAIT_S)
        self._report(EngineReport(self._last.name, State.STOPPED, self._last.host))
        return False

    def drain(self) -> None:
        self._over.set()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    with fake_cluster(monkeypatch, "10.0.0.7") as ray:
        yield ray


@contextmanager
def fake_cluster(monkeypatch: pytest.MonkeyPatch, *machines: str) -> Iterator[FakeRay]:
    """Nothing of it goes on after the test."""
    ray = FakeRay(*machines)
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: ray)
    monkeypatch.setattr(ray_cluster, "Agent", FakeAgent)
    monkeypatch.setattr(ray_cluster, "end_process", lambda: None)
    monkeypatch.setattr(FakeAgent, "made", [])
    yield ray
    for agent in FakeAgent.made:
        agent._report = lambda _: None
        agent.drain()
    for actor in ray.actors.values():
        if isinstance(actor, ray_cluster.RegistryActor):
            actor._over.set()
    for thread in threading.enumerate():  # one that lives on would call the real `end_process`
        if thread.name in ("engine", "adjust"):
            thread.join(WAIT_S)
            assert not thread.is_alive(), thread


def ready(ray: Any, count: int = 2) -> None:
    ray_cluster.wait_ready(ray, count, WAIT_S, lambda _: None)


def test_fleet_starts_with_its_engines_where_there_is_room_and_restarts_them(ray: FakeRay) -> None:
    ray_cluster.start(ray, PLAN)
    ready(ray)
    assert [*ray.actors] == [REGISTRY, *NAMES]
    for name in NAMES:
        options = ray.options[name]
        assert (options["num_cpus"], options["num_gpus"]) == (1.0, 0.5)
        assert (options["lifetime"], options["max_restarts"]) == ("detached", -1)
    assert (ray.options[REGISTRY]["lifetime"], ray.options[REGISTRY]["max_restarts"]) == ("detached", -1)
    assert {each.given[1:3] for each in FakeAgent.made} == {("10.0.0.7", 1)}
    registry = ray_cluster.find_registry(ray)
    assert ray_cluster.ask(ray, registry.engines.remote()) == [("10.0.0.7", 8201)] * 2
    assert ray_cluster.stop(ray, WAIT_S) == 2
    assert not ray.actors


def test_second_fleet_is_refused(ray: FakeRay) -> None:
    ray_cluster.start(ray, PLAN)
    with pytest.raises(ClusterError, match="up already"):
        ray_cluster.start(ray, PLAN)
    ready(ray)
    ray_cluster.stop(ray, WAIT_S)


def test_fleet_that_is_not_there_cannot_be_stopped(ray: FakeRay) -> None:
    with pytest.raises(ClusterError, match="cluster up"):
        ray_cluster.stop(ray, WAIT_S)


def test_engines_that_do_not_drain_in_time_are_ended(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = FakeAgent.drain
    monkeypatch.setattr(FakeAgent, "drain", lambda self: None)
    ray_cluster.start(ray, PLAN)
    ready(ray)
    assert ray_cluster.stop(ray, 0.0) == 2
    assert not ray.actors
    monkeypatch.setattr(FakeAgent, "drain", kept)


def test_registry_that_does_not_answer_is_an_error(ray: FakeRay) -> None:
    ray_cluster.start(ray, PLAN)
    ready(ray)
    ray.down.add(REGISTRY)
    with pytest.raises(ClusterError, match="does not answer"):
        ray_cluster.ask(ray, ray_cluster.find_registry(ray).reports.remote())
    with pytest.raises(ClusterError, match="not ready after 0 s"):
        ray_cluster.wait_ready(ray, 2, 0.0, lambda _: None)
    ray.down.clear()
    ray_cluster.stop(ray, WAIT_S)


def test_engine_that_fails_ends_the_wait(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FakeAgent, "run", lambda self: self._report(EngineReport(NAMES[0], State.FAILED, "h", message="no GPU"))
    )
    ray_cluster.start(ray, PLAN)
    with pytest.raises(ClusterError, match="sayline-engine-1 at h: no GPU"):
        ready(ray)


@pytest.mark.parametrize("fault", ["dies", "cannot start"])
def test_actor_whose_engine_dies_ends_as_a_failure(ray: FakeRay, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    ended = threading.Event()
    monkeypatch.setattr(ray_cluster, "end_process", ended.set)
    monkeypatch.setattr(FakeAgent, "dies", True)
    ray_cluster.start(ray, PLAN)
    ended.clear()
    if fault == "cannot start":
        monkeypatch.setattr(ray_cluster, "Agent", lambda *_: 1 / 0)
    actor = EngineActor.__new__(EngineActor)
    actor._ray, actor._agent, actor._begun = ray, None, threading.Event()
    actor._run("sayline-engine-9", "h", 1, {})
    assert ended.is_set()
    actor.drain()


def test_engine_that_is_gone_need_not_be_ended(ray: FakeRay) -> None:
    ray_cluster.start(ray, PLAN)
    ready(ray)
    ray_cluster.remove_engine(ray, NAMES[0])
    ray_cluster.remove_engine(ray, NAMES[0])
    registry = ray.actors[REGISTRY]
    registry._drain(NAMES[0])
    ray_cluster.stop(ray, 0.0)


def test_number_of_engines_follows_their_load(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    adjusted = threading.Event()
    monkeypatch.setattr(ray_cluster, "ADJUST_S", 0.01)
    monkeypatch.setattr(Registry, "adjust", lambda self: adjusted.set())
    ray_cluster.start(ray, PLAN)
    assert adjusted.wait(WAIT_S)
    ready(ray)
    ray_cluster.stop(ray, WAIT_S)


def test_address_is_rays_own_or_that_of_this_machine(ray: FakeRay) -> None:
    ray_cluster.connect("ray://")
    assert (ray.address, ray.init_options["namespace"]) == ("auto", NAMESPACE)
    ray_cluster.connect("ray://head:10001")
    assert ray.address == "ray://head:10001"
    assert ray_cluster.addresses([*ray.nodes(), {"NodeManagerAddress": "x", "Alive": False}]) == ["10.0.0.7"]


@pytest.mark.parametrize(("address", "where"), [("ray://", "on this machine"), ("ray://head:10001", "at ray://head")])
def test_cluster_that_is_not_there_is_named(
    address: str, where: str, ray: FakeRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "machines", ())
    with pytest.raises(ClusterError, match=where) as caught:
        ray_cluster.connect(address)
    assert "More lines" not in str(caught.value)


def test_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match="pip install"):
        ray_cluster.import_ray()


def test_watch_tells_the_engines_at_first_and_after_changes(ray: FakeRay) -> None:
    told: list[list[tuple[str, int]]] = []
    rounds = iter([False, False, True])

    def pause(_: float) -> bool:
        if len(told) == 1:
            ray.actors[REGISTRY].report(EngineReport(NAMES[1], State.STOPPED, "10.0.0.7"))
        return next(rounds)

    ray_cluster.start(ray, PLAN)
    ready(ray)
    watch.watch(ray, told.append, pause)
    assert told == [[("10.0.0.7", 8201)] * 2, [("10.0.0.7", 8201)]]
    ray_cluster.stop(ray, WAIT_S)
    with pytest.raises(ClusterError, match="no fleet"):
        watch.watch(ray, told.append, pause)
