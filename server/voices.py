"""The model's own voices, loaded once each, on threads that a listener does not notice. Knows nothing of utterances."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from engine.model import Model
from engine.priority import step_aside
from engine.voice import Voice

THREADS = 2  # one may wait for the hub
NICENESS = 15  # a voice can wait, a frame cannot


class Voices:
    def __init__(self, model: Model) -> None:
        self._model = model
        self._loading: dict[str, asyncio.Task[Voice]] = {}
        self._pool = ThreadPoolExecutor(THREADS, "voices", step_aside, (NICENESS,))

    async def get(self, name: str) -> Voice:
        """Who asks for one that is being loaded waits for the same. Raises `UnknownVoice`.

        A name from the network is never taken for a path or an address.
        """
        self._model.checkpoint.voice_source(name)
        if name not in self._loading:
            self._loading[name] = asyncio.create_task(self._load(name), name=f"voice {name}")
        return await asyncio.shield(self._loading[name])  # shielded: others may wait for it too

    def cancel(self) -> None:
        """Nobody waits any more."""
        for loading in self._loading.values():
            loading.cancel()

    def close(self) -> None:
        """Blocks until what is being loaded is there."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _load(self, name: str) -> Voice:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._model.load_voice, name)
        except BaseException:
            del self._loading[name]  # so that the next one tries again
            raise
