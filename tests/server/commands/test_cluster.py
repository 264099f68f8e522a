"""`sayline cluster`, on a fake of Ray."""

import json
from collections.abc import Iterator

import pytest

from sayline_tts.server.cluster.ray_cluster import REGISTRY
from sayline_tts.server.cluster.report import EngineReport, State
from sayline_tts.server.commands import cluster
from tests.server.cluster.fake_ray import FakeRay
from tests.server.cluster.test_ray_cluster import FakeAgent, fake_cluster
from tests.server.commands.conftest import Sayline, usage_error

SECRET = {"SAYLINE_ENGINE_SECRET": "a-long-random-word"}


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    with fake_cluster(monkeypatch, "10.0.0.7", "gone") as ray:
        yield ray


def test_fleet_goes_up_shows_itself_and_goes_down(sayline: Sayline, ray: FakeRay) -> None:
    done = sayline(
        "cluster", "up", "--variant", "embedded", "--min-engines", "2", "--cpus-per-engine", "1", "--origins", "https://a.b",
        env={**SECRET, "SAYLINE_PRECISION": "int8", "SAYLINE_ENGINES": "x:1"},
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "sayline-engine-2 is ready at 10.0.0.7:8201: about 32 listeners at once" in done.stdout
    environment = FakeAgent.made[0].given[3]
    expected = {"SAYLINE_VARIANT": "embedded", "SAYLINE_PRECISION": "int8", "SAYLINE_ORIGINS": "https://a.b", **SECRET}
    assert {name: environment.get(name) for name in expected} == expected
    assert "SAYLINE_ENGINES" not in environment

    ray.actors[REGISTRY].report(EngineReport("sayline-engine-3", State.FAILED, "10.0.0.8", message="no GPU"))
    lines = sayline("cluster", "status").stdout.splitlines()
    assert lines[0].split() == ["engine", "state", "address", "cores", "speaking", "waiting", "capacity", "fronts"]
    assert lines[1].split() == ["sayline-engine-1", "ready", "10.0.0.7:8201", "any", "0", "0", "32", "0"]
    assert lines[3].split() == ["sayline-engine-3", "failed", "10.0.0.8", "any", "0", "0", "0", "0", "no", "GPU"]
    assert lines[4].split() == ["3", "in", "all", "0", "0", "64"]
    rows = json.loads(sayline("cluster", "status", "--json").stdout)
    assert [row["state"] for row in rows] == ["ready", "ready", "failed"]

    assert sayline("cluster", "down").stdout == "3 engines are stopped.\n"
    assert "no fleet" in usage_error(sayline("cluster", "status"))


def test_machines_that_others_reach_need_a_secret(sayline: Sayline, ray: FakeRay) -> None:
    assert "SAYLINE_ENGINE_SECRET" in usage_error(sayline("cluster", "up"))
    assert not ray.actors


def test_wrong_settings_are_told_before_anything_starts(sayline: Sayline, ray: FakeRay) -> None:
    assert "capacity" in usage_error(sayline("cluster", "up", "--capacity", "many", env=SECRET))
    assert "contradict" in usage_error(sayline("cluster", "up", "--min-engines", "3", "--max-engines", "2"))
    assert not ray.actors


def test_choices_of_each_machine_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYLINE_HOST", "0.0.0.0")
    monkeypatch.setenv("PORT", "1")
    given = cluster.engine_environment({"engine_port": "5", "guard": True, "capacity": "9"})
    assert {name: given[name] for name in ("SAYLINE_GUARD", "SAYLINE_CAPACITY")} == {
        "SAYLINE_GUARD": "True",
        "SAYLINE_CAPACITY": "9",
    }
    assert not {"SAYLINE_HOST", "SAYLINE_ENGINE_PORT", "PORT"} & given.keys()
