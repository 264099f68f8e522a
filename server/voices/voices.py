"""Voices by name: the model's own and those that people made. Loaded and made on threads that a listener does not
notice. Knows nothing of utterances, nor of HTTP.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from sayline_tts.engine.cloning.cloning import Clone, clone
from sayline_tts.engine.errors import VoiceError
from sayline_tts.engine.execution.priority import step_aside
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.voices.store import Card, VoiceNameTaken, VoiceStore, check_name

THREADS = 2  # one may wait for the hub, or make a voice
NICENESS = 15  # a voice can wait, a frame cannot
KEPT_BYTES = 256 * 1024 * 1024  # of voices that people made, so that the next who speaks with one need not wait

T = TypeVar("T")


class Voices:
    """Belongs to the event loop. Without a `store`, there are only the model's own."""

    def __init__(self, model: Model, store: VoiceStore | None = None, kept_bytes: int = KEPT_BYTES) -> None:
        self.store = store
        self._model, self._kept_bytes = model, kept_bytes
        self._loading: dict[str, asyncio.Task[Voice]] = {}  # by name or id, those of people in the order of their use
        self._pool = ThreadPoolExecutor(THREADS, "voices", step_aside, (NICENESS,))
        self._turn = asyncio.Lock()  # of who makes a voice, so that one thread is left to those who only load

    def built_in(self) -> tuple[str, ...]:
        """The model's own."""
        return self._model.checkpoint.voices()

    def find(self, name: str, owner: str = ANONYMOUS) -> Card | None:
        """One that people made, by id or name, if this owner may use it. The model's own names come first."""
        return self.store.find(name, owner) if self.store and name not in self.built_in() else None

    async def get(self, name: str, owner: str = ANONYMOUS) -> Voice:
        """Who asks for one that is being loaded waits for the same. Raises `UnknownVoice`, `VoiceError`.

        A name from the network is never taken for a path or an address.
        """
        if card := self.find(name, owner):
            if card.model != self._model.checkpoint.name:
                raise VoiceError(
                    f"the voice {card.name!r} was made for the model {card.model}, and this server speaks with "
                    f"{self._model.checkpoint.name}; make it again from its recording"
                )
            self._make_room()
            name = card.id
        else:
            self._model.checkpoint.voice_source(name)
        if name in self._loading:
            self._loading[name] = self._loading.pop(name)  # used last
        else:
            self._loading[name] = asyncio.create_task(self._load(name, card), name=f"voice {name}")
        return await asyncio.shield(self._loading[name])  # shielded: others may wait for it too

    async def clone(self, data: bytes, name: str) -> Clone:
        """A voice from an audio file or a voice file, kept by nobody but the caller. Raises `VoiceError`."""
        async with self._turn:
            return await self._aside(partial(clone, self._model, data, name))

    async def add(self, data: bytes, name: str, owner: str, source: str = "the file") -> Card:
        """Make a voice and keep it. Raises `VoiceError`, `VoiceNameError`, `VoiceNameTaken`, `StoreError`."""
        assert self.store is not None
        store, name = self.store, check_name(name)
        if name in self.built_in() or any(card.name == name for card in store.visible(owner) if card.owner == owner):
            raise VoiceNameTaken(f"there is a voice {name!r} already; choose another name")  # before all the work
        made = await self.clone(data, source)
        card = Card.new(name, owner, made.duration_s, made.advice, self._model.checkpoint.name)
        await self._aside(lambda: store.add(card, made.voice.to_bytes()))  # 20 MB to copy, so not here
        return card

    async def delete(self, card: Card) -> None:
        """From now on nobody begins to speak with it; who does, goes on. Raises `StoreError`."""
        assert self.store is not None
        await self._aside(partial(self.store.delete, card))
        self._loading.pop(card.id, None)

    def cancel(self) -> None:
        """Nobody waits any more."""
        for loading in self._loading.values():
            loading.cancel()

    def close(self) -> None:
        """Blocks until what is being loaded is there."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _load(self, name: str, card: Card | None) -> Voice:
        source = self.store.path(card) if self.store and card else name
        try:
            return await self._aside(partial(self._model.load_voice, source))
        except BaseException:
            if self._loading.get(name) is asyncio.current_task():
                del self._loading[name]  # so that the next one tries again
            raise

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _make_room(self) -> None:
        """Forget what was not used for longest. Who speaks with it has it all the same."""
        kept = {name: task.result() for name, task in self._loading.items() if self._is_kept(name, task)}
        used_bytes = sum(voice.keys.nbytes + voice.values.nbytes for voice in kept.values())
        for name, voice in kept.items():
            if used_bytes <= self._kept_bytes:
                return
            used_bytes -= voice.keys.nbytes + voice.values.nbytes
            del self._loading[name]

    def _is_kept(self, name: str, task: asyncio.Task[Voice]) -> bool:
        return name not in self.built_in() and task.done() and not task.cancelled() and task.exception() is None
