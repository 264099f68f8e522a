"""Voices by name, built-in and cloned. Loading and cloning run on low-priority threads.

What goes wrong with a file of the server is logged; its clients are told without the paths.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from sayline_tts.engine.cloning.cloning import ClonedVoice, clone_voice
from sayline_tts.engine.device import set_niceness
from sayline_tts.engine.errors import HubError, InputError, VoiceError
from sayline_tts.engine.models.model_description import ModelDescription
from sayline_tts.engine.models.voice import Voice
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.voices.loudness import VoiceLoudness
from sayline_tts.server.voices.store import StoreError, VoiceMetadata, VoiceNameTaken, VoiceStore, check_name

log = logging.getLogger(__name__)

THREADS = 2  # one stays free while the other downloads or clones
NICENESS = 15  # below frame generation, which has deadlines
CACHE_BYTES = 256 * 1024 * 1024  # of cloned voices kept in memory

T = TypeVar("T")


class Voices:
    """Voices of one model. Call it on the event loop only. Without a `store`, only built-in voices exist."""

    def __init__(
        self,
        model: ModelDescription,
        store: VoiceStore | None = None,
        cache_bytes: int = CACHE_BYTES,
        loudness_lufs: float | None = None,
    ) -> None:
        """`loudness_lufs`: the loudness that all voices get."""
        self.store = store
        self.loudness = VoiceLoudness(model, loudness_lufs)
        self._model, self._cache_bytes = model, cache_bytes
        self._loading: dict[str, asyncio.Task[Voice]] = {}  # by name or id; cloned voices in order of last use
        self._pool = ThreadPoolExecutor(THREADS, "voices", set_niceness, (NICENESS,))
        self._cloning_lock = asyncio.Lock()  # one clone at a time leaves a thread for loading

    def built_in(self) -> tuple[str, ...]:
        """Names of the model's own voices."""
        return self._model.checkpoint.voices()

    def description(self, name: str) -> str | None:
        """One line about one of the model's own voices."""
        return self._model.checkpoint.voice_description(name)

    def find(self, name: str, owner: str = ANONYMOUS) -> VoiceMetadata | None:
        """The cloned voice of this id or name that `owner` may use. Built-in names take precedence."""
        return self.store.find(name, owner) if self.store and name not in self.built_in() else None

    async def get(self, name: str, owner: str = ANONYMOUS) -> Voice:
        """Load a voice; concurrent callers share one load. Raises `UnknownVoice`, `VoiceError`.

        `name` may come from the network, so it is never used as a path or URL.
        """
        if metadata := self.find(name, owner):
            if metadata.model != self._model.checkpoint.name:
                raise VoiceError(
                    f"voice {metadata.name!r} was cloned for model {metadata.model}, and this server runs model "
                    f"{self._model.checkpoint.name}; clone it again from its recording"
                )
            self._evict()
            name = metadata.id
        else:
            self._model.checkpoint.voice_source(name)
        if name in self._loading:
            self._loading[name] = self._loading.pop(name)  # now the most recently used
        else:
            self._loading[name] = asyncio.create_task(self._load(name, metadata), name=f"voice {name}")
        return await asyncio.shield(self._loading[name])  # shielded, because others may await the same task

    async def clone(self, data: bytes, name: str) -> ClonedVoice:
        """Make a voice from an audio file or voice file without storing it. Raises `VoiceError`, `StoreError`."""
        async with self._cloning_lock:
            try:
                return await self._run_in_thread(partial(self._clone, data, name))
            except OSError as error:  # a voice file is checked as a temporary one
                log.exception("cannot write a temporary file")
                raise StoreError("the server has no room for temporary files; see the server's log") from error

    async def add(self, data: bytes, name: str, owner: str, source: str = "the file") -> VoiceMetadata:
        """Clone a voice and store it. Raises `VoiceError`, `VoiceNameError`, `VoiceNameTaken`, `StoreError`."""
        assert self.store is not None
        store, name = self.store, check_name(name)
        if name in self.built_in() or any(
            metadata.name == name for metadata in store.visible(owner) if metadata.owner == owner
        ):
            raise VoiceNameTaken(f"voice {name!r} already exists; choose another name")  # before the slow cloning
        made = await self.clone(data, source)

        def add() -> VoiceMetadata:
            checkpoint = self._model.checkpoint
            about = made.duration_s, made.issues, checkpoint.name, checkpoint.weights_sha256
            metadata = VoiceMetadata.new(name, owner, *about)
            store.add(metadata, made.voice.to_bytes())
            return metadata

        return await self._run_in_thread(add)  # copies 20 MB, so not on the event loop

    async def delete(self, metadata: VoiceMetadata) -> None:
        """Delete a voice. Utterances that already use it continue. Raises `StoreError`."""
        assert self.store is not None
        await self._run_in_thread(partial(self.store.delete, metadata))
        self._loading.pop(metadata.id, None)

    def cancel(self) -> None:
        """Cancel all loads."""
        for loading in self._loading.values():
            loading.cancel()

    def close(self) -> None:
        """Stop the threads. Blocks until running loads are done."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _load(self, name: str, metadata: VoiceMetadata | None) -> Voice:
        try:
            return await self._run_in_thread(partial(self._read, name, metadata))
        except BaseException:
            if self._loading.get(name) is asyncio.current_task():
                del self._loading[name]  # so that the next request tries again
            raise

    def _clone(self, data: bytes, name: str) -> ClonedVoice:
        made = clone_voice(self._model, data, name)
        self.loudness.measure(made.voice)
        return made

    def _read(self, name: str, metadata: VoiceMetadata | None) -> Voice:
        source: Path | str = name
        if self.store is not None and metadata is not None:
            if metadata.weights not in ("", self._model.checkpoint.weights_sha256):
                raise VoiceError(
                    f"voice {metadata.name!r} was cloned with other weights of model {metadata.model} than this "
                    "server's; clone it again from its recording"
                )
            source = self.store.path(metadata)
        try:
            voice = self._model.load_voice(source)
        except InputError as error:
            log.error("voice %s cannot be loaded: %s", name, error)
            raise _without_details(error, metadata.name if metadata else name, metadata is not None) from error
        self.loudness.measure(voice)
        return voice

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _evict(self) -> None:
        """Drop the least recently used cloned voices. Utterances that use one keep their reference."""
        evictable = {name: task.result() for name, task in self._loading.items() if self._is_evictable(name, task)}
        used_bytes = sum(voice.keys.nbytes + voice.values.nbytes for voice in evictable.values())
        for name, voice in evictable.items():
            if used_bytes <= self._cache_bytes:
                return
            used_bytes -= voice.keys.nbytes + voice.values.nbytes
            del self._loading[name]

    def _is_evictable(self, name: str, task: asyncio.Task[Voice]) -> bool:
        return name not in self.built_in() and task.done() and not task.cancelled() and task.exception() is None


def _without_details(error: InputError, name: str, is_cloned: bool) -> InputError:
    """What a client is told about a voice that cannot be loaded: the message may hold paths of the server."""
    told: InputError
    if isinstance(error, HubError):
        told = HubError(f"voice {name!r} cannot be downloaded; see the server's log, and try again later")
    else:
        advice = "clone it again" if is_cloned else "use another voice"
        told = VoiceError(f"voice {name!r} is damaged or missing on the server; {advice}, or see the server's log")
    told.code = error.code
    return told
