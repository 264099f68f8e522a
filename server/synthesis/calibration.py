"""Look for the alignment heads of a model that has none known, once, while the server is already speaking.

It is `sayline calibrate` in a process of its own at the lowest priority: it needs a second copy of the weights in
float32 for as long as it runs.
"""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from contextlib import suppress

from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import EngineLoop
from sayline_tts.server.synthesis.speech_engine import SpeechEngine

log = logging.getLogger(__name__)

LOWEST_PRIORITY = 19
COMMAND = sys.executable, "-m", "sayline.cli", "calibrate", "--quiet"


class BackgroundCalibration:
    """`stop` ends it at once; it begins anew at the next start."""

    def __init__(self, settings: Settings, engine: SpeechEngine) -> None:
        self._settings, self._engine = settings, engine
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if the model is in this process and was never calibrated."""
        engine = self._engine
        if self._settings.calibrate and isinstance(engine, EngineLoop) and not engine.model.checkpoint.calibrated:
            self._task = asyncio.create_task(self._run(engine))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, engine: EngineLoop) -> None:
        log.info("looking for the attention heads that follow the words of %s", engine.model.checkpoint.name)
        try:
            found, status = await self._calibrate()
        except OSError as error:
            found, status = str(error), 1
        if status:
            log.warning("cannot calibrate (%s); word times stay estimates", found)
            return
        checkpoint = engine.model.checkpoint
        await asyncio.to_thread(lambda: checkpoint.weights_sha256)  # else it would be computed on the event loop
        if engine.read_heads_again():
            log.info("%s Words are timed by it from now on.", found)
        else:
            log.info("%s", found)

    async def _calibrate(self) -> tuple[str, int]:
        """Run the command. Returns the last line that it printed, and its exit status."""
        settings = self._settings
        model = ("--config", settings.config) if settings.config else ("--variant", settings.variant)
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *model, "--data", settings.data, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        try:
            os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
            status = await process.wait()
        return output.decode(errors="replace").strip().rpartition("\n")[2] or "no output", status
