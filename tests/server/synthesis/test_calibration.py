"""Calibration in the background: a process of its own finds alignment heads, and the running engine takes them up."""

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sayline

from sayline_tts.engine.checkpoint.alignment_heads import ALIGNMENT_FILE
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.models.model import Model
from sayline_tts.server.app import ENGINE_LOOP, make_app
from sayline_tts.server.lifecycle import find_served_checkpoint
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis import calibration
from sayline_tts.server.synthesis.calibration import BackgroundCalibration
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.synthesis.repeat_cache import RepeatCache
from tests.server.fakes import FakeCheckpoint, FakeEngine
from tests.server.stream_client import serving


@pytest.fixture
async def engine_loop(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EngineLoop]:
    monkeypatch.setattr(FakeCheckpoint, "calibrated", False)
    monkeypatch.setattr(EngineLoop, "read_heads_again", lambda _: True)
    loop = EngineLoop(engine)
    loop.start()
    yield loop
    await loop.stop()


async def run(engine_loop: EngineLoop, settings: Settings | None = None) -> None:
    started = BackgroundCalibration(settings or Settings(variant="embedded"), engine_loop)
    started.start()
    if started._task is not None:
        await started._task
    await started.stop()


def command(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(calibration, "COMMAND", (sys.executable, "-c", code))


async def test_result_is_logged_and_taken_up(
    engine_loop: EngineLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    command(monkeypatch, "import sys; print('Weights'); print('Head 3.0 of', *sys.argv[1:])")
    await run(engine_loop, Settings(config="own.yaml", data="folder"))
    assert "Head 3.0 of --config own.yaml --data folder Words are timed by it from now on." in caplog.text


async def test_without_a_head_the_result_is_logged(
    engine_loop: EngineLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(EngineLoop, "read_heads_again", lambda _: False)
    command(monkeypatch, "print('No head follows the words.')")
    await run(engine_loop)
    assert caplog.messages[-1] == "No head follows the words."


async def test_failure_is_a_warning(
    engine_loop: EngineLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    command(monkeypatch, "import sys; sys.exit('sayline: cannot write')")
    await run(engine_loop)
    monkeypatch.setattr(calibration, "COMMAND", ("/no/such/program",))
    await run(engine_loop)
    first, second = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert first == "cannot calibrate (sayline: cannot write); word times stay estimates"
    assert "No such file" in second


async def test_process_has_the_lowest_priority_and_ends_with_the_server(
    engine_loop: EngineLoop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    command(monkeypatch, f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    started = BackgroundCalibration(Settings(), engine_loop)
    started.start()
    pid = int(await asyncio.to_thread(pipe.read_text))
    assert os.getpriority(os.PRIO_PROCESS, pid) == calibration.LOWEST_PRIORITY
    await started.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_calibrated_model_and_setting_need_no_process(
    engine_loop: EngineLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await run(engine_loop, Settings(calibrate=False))
    monkeypatch.setattr(FakeCheckpoint, "calibrated", True)
    await run(engine_loop)
    assert not caplog.records


@pytest.mark.slow
async def test_words_are_timed_by_attention_once_heads_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "LOWEST_PRIORITY", 0)  # other tests may keep all cores busy
    folder = tmp_path / "own"
    shutil.copytree(EMBEDDED, folder, ignore=shutil.ignore_patterns(ALIGNMENT_FILE))
    settings = Settings(config=str(folder / "config.yaml"), data=str(tmp_path / "data"))
    app = await make_app(settings, Model.load(find_served_checkpoint(settings)))
    started = BackgroundCalibration(settings, app[ENGINE_LOOP])
    async with serving(app) as address:
        assert all(word.estimated for word in await spoken_words(address))
        recorded_before = app[ENGINE_LOOP].streams.repeats
        started.start()
        assert started._task is not None
        await started._task
        assert not any(word.estimated for word in await spoken_words(address))
        assert recorded_before is not app[ENGINE_LOOP].streams.repeats
    assert find_served_checkpoint(settings).heads == app[ENGINE_LOOP].model.heads
    assert not (folder / ALIGNMENT_FILE).exists()


async def spoken_words(address: str) -> list[sayline.Word]:
    async with sayline.connect(f"ws://{address}") as session, session.context() as speech:
        await speech.push("Nothing is known of this model yet.")
        await speech.end()
        return [event async for event in speech if isinstance(event, sayline.Word)]


@pytest.mark.parametrize("found", [True, False])
async def test_recorded_speech_is_forgotten_with_its_estimates(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, found: bool
) -> None:
    monkeypatch.setattr(engine, "read_heads_again", lambda: found)
    engine_loop = EngineLoop(engine, repeats=RepeatCache(1_000))
    recorded = engine_loop.streams.repeats
    assert engine_loop.read_heads_again() is found
    assert (engine_loop.streams.repeats is not recorded) is found
    assert engine_loop.streams.repeats.max_bytes == 1_000
