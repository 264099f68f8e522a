"""Plays contexts on a sound device, one after the other, and tells the server how much of them was heard."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from sayline.context import Context
from sayline.errors import NoSound, SaylineError
from sayline.frame import Frame
from sayline.inbox import Event
from sayline.messages import Cancelled, Flushed, Segment
from sayline.playback import BYTES, Playback
from sayline.sound_device import Device, SoundDevice

OnEvent = Callable[[Event], None]


class Player:
    """Use with `async with`. `device`: as `sounddevice` names it, or one of your own; the system's choice otherwise.

    Raises `NoSound` where nothing can be played.
    """

    def __init__(self, device: Device | str | int | None = None) -> None:
        self._device: Device = SoundDevice(device) if device is None or isinstance(device, str | int) else device
        self._open = False
        self._sample_rate_hz = 0  # of the device; 0 while it is closed
        self._turn = asyncio.Lock()
        self._speech: Context | None = None
        self._playback: Playback | None = None
        self._fading: Playback | None = None  # what was played before that
        self._changed = asyncio.Event()
        self._gone: asyncio.Future[SaylineError]
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._gone = self._loop.create_future()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        self._lose(SaylineError("the player was closed while it played: leave it when `play` has returned"))
        await asyncio.to_thread(self._device.close)

    async def play(self, speech: Context, on_event: OnEvent | None = None) -> Cancelled:
        """Play all of a context, and return what was heard when that is so: `heard_text`, `unheard_text`.

        While another one is played, this waits for its end. `on_event` is given every event of the context as it
        comes, which is before it is heard: `played_ms` tells when that is. What goes wrong with the context is raised
        when all that came before was heard.
        """
        async with self._turn:
            playback = await self._begin(speech)
            writing = asyncio.create_task(self._write(speech, playback, on_event))
            reporting = asyncio.create_task(self._report(speech, playback))
            try:
                ends: list[asyncio.Future[Any]] = [writing, self._gone]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if not writing.done():
                    raise self._gone.result()
                writing.result()
                return await speech.cancel(playback.played_ms)
            finally:
                playback.stop()
                writing.cancel()
                reporting.cancel()
                await asyncio.wait([writing, reporting])

    async def cancel(self) -> Cancelled:
        """Be silent now, and tell what was heard. Where all was played it tells so: twice is harmless."""
        if self._speech is None or self._playback is None:
            raise SaylineError("nothing was played yet: `play` a context first")
        return await self._speech.cancel(self._playback.stop())

    def pause(self) -> None:
        """The server notices, and waits too."""
        if self._playback is not None:
            self._playback.pause()

    def resume(self) -> None:
        if self._playback is not None:
            self._playback.resume()

    @property
    def played_ms(self) -> float:
        """How much of its context was heard."""
        return self._playback.played_ms if self._playback else 0.0

    @property
    def lead_ms(self) -> float:
        """How much more is here already."""
        return self._playback.lead_ms if self._playback else 0.0

    @property
    def underruns(self) -> int:
        """How often its speech came too late to be played without a gap."""
        return self._playback.underruns if self._playback else 0

    async def _begin(self, speech: Context) -> Playback:
        if not self._open:
            raise SaylineError("the player is closed: use it with `async with`")
        if self._sample_rate_hz != speech.sample_rate_hz:
            self._sample_rate_hz = 0
            await asyncio.to_thread(self._device.close)
            self._gone = gone = self._loop.create_future()
            on_gone = self._calling(self._device_gone, gone)
            await asyncio.to_thread(self._device.open, speech.sample_rate_hz, self._read, on_gone)
            self._sample_rate_hz = speech.sample_rate_hz
        playback = Playback(speech.sample_rate_hz, self._device.latency_ms, self._calling(self._change))
        self._speech, self._playback, self._fading = speech, playback, self._playback
        return playback

    async def _write(self, speech: Context, playback: Playback, on_event: OnEvent | None) -> None:
        try:
            async for event in speech:
                if isinstance(event, Frame):
                    playback.write(event.pcm)
                elif isinstance(event, Segment | Flushed):
                    playback.settle()
                if on_event is not None:
                    on_event(event)
        except Exception:  # be it the server's, or that of the text
            await self._until_over(playback)
            raise
        await self._until_over(playback)

    async def _until_over(self, playback: Playback) -> None:
        playback.end()
        while not playback.over:
            await self._changed.wait()

    async def _report(self, speech: Context, playback: Playback) -> None:
        with suppress(SaylineError):  # whoever reads the context gets it too
            while True:
                await self._changed.wait()
                await speech.ack(playback.played_ms)

    def _read(self, samples: int) -> bytes:
        """In the device's thread."""
        fading, playback = self._fading, self._playback
        if fading is not None and not fading.drained:
            return fading.read(samples)
        return playback.read(samples) if playback is not None else bytes(samples * BYTES)

    def _calling(self, call: Callable[..., None], *arguments: object) -> Callable[[], None]:
        """For any thread, whenever."""

        def now() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody is interested any more
                self._loop.call_soon_threadsafe(call, *arguments)

        return now

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _device_gone(self, gone: asyncio.Future[SaylineError]) -> None:
        if gone is self._gone:
            self._lose(NoSound("the sound device is gone: plug it in again, or play on another one"))

    def _lose(self, why: SaylineError) -> None:
        self._sample_rate_hz = 0
        if not self._gone.done():
            self._gone.set_result(why)
