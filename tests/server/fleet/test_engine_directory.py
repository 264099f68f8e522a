"""A front learns from a cluster's registry which engines there are."""

import asyncio
import logging
import sys
from typing import Any

import pytest

from sayline_tts.server.fleet import engine_directory, fleet
from sayline_tts.server.fleet.engine_directory import EngineDirectory
from sayline_tts.server.fleet.fleet import Fleet, FleetOptions
from sayline_tts.server.settings import Settings, SettingsError
from tests.server.fleet.harness import HOST, Ear, fake_engines, make, until

TELLS = "import sys; print('[[\"10.0.0.1\", 8200]]', flush=True)"


def program(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_listed_engines_need_no_process() -> None:
    directory = EngineDirectory([("a", 1), ("b", 2)], program("1/0"))
    assert await directory.engines() == [("a", 1), ("b", 2)]
    await directory.close()


async def test_engines_are_those_that_the_cluster_tells_and_the_listed_ones() -> None:
    code = TELLS + "; sys.stdin.readline(); print('[]', flush=True); sys.stdin.read()"
    directory = EngineDirectory([("ray://head:10001", 0), ("a", 1)], program(code + "; assert sys.argv[1] == 'x'"))
    assert await directory.engines() == [("a", 1), ("10.0.0.1", 8200)]
    await directory.close()


async def test_last_answer_stands_when_the_cluster_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine_directory, "RETRY_S", 0.01)
    directory = EngineDirectory([("ray://", 0)], program(TELLS + "; sys.exit('no Ray cluster')"))
    await directory.engines()
    await until(lambda: len([each for each in caplog.records if "no Ray cluster" in each.getMessage()]) >= 2)
    assert await directory.engines() == [("10.0.0.1", 8200)]
    await directory.close()


async def test_cluster_that_says_nothing_is_told_why(caplog: pytest.LogCaptureFixture) -> None:
    directory = EngineDirectory([("ray://", 0)], program(""))
    with caplog.at_level(logging.WARNING):
        assert await directory.engines() == []
    assert "it has ended" in caplog.text
    await directory.close()


async def test_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_directory, "CLOSE_S", 0.05)
    directory = EngineDirectory([("ray://", 0)], program(TELLS + "; import time; time.sleep(600)"))
    assert await directory.engines() == [("10.0.0.1", 8200)]
    async with asyncio.timeout(20):
        await directory.close()


async def test_front_speaks_on_the_engines_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    (engine,) = fake_engines(1)
    await engine.start()
    code = f"import sys; print('[[\"{HOST}\", {engine.port}]]', flush=True); sys.stdin.read()"

    def directory(listed: Any) -> EngineDirectory:
        return EngineDirectory(listed, program(code))

    monkeypatch.setattr(fleet, "EngineDirectory", directory)
    front, ear = Fleet(engine.engine.model, FleetOptions([("ray://", 0)])), Ear()
    front.start()
    await front.warm_up()
    front.submit(await make(front, "One two."), ear)
    await ear.ended()
    assert ear.pcm
    await front.stop()
    await engine.stop()


def test_setting_takes_a_clusters_address() -> None:
    assert Settings.load(engines="ray://").engines == (("ray://", 0),)
    assert Settings.load(engines="ray://head:10001,10.0.0.1:8200").engines == (
        ("ray://head:10001", 0),
        ("10.0.0.1", 8200),
    )
    with pytest.raises(SettingsError, match="not an engine"):
        Settings.load(engines="ray")


async def test_cluster_that_was_never_asked_needs_no_end() -> None:
    await EngineDirectory([("ray://", 0)], program("1/0")).close()
