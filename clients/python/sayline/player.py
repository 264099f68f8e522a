"""Play contexts on an audio device, one after another, and report the playback position to the server."""

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
    """Use with `async with`. `device`: a name or index of `sounddevice`, or a `Device`; default: the system's default.

    Raises `NoSound` if there is no audio device.
    """

    def __init__(self, device: Device | str | int | None = None) -> None:
        self._device: Device = SoundDevice(device) if device is None or isinstance(device, str | int) else device
        self._open = False
        self._sample_rate_hz = 0  # of the open device; 0 while it is closed
        self._play_lock = asyncio.Lock()
        self._speech: Context | None = None
        self._playback: Playback | None = None
        self._previous: Playback | None = None  # the previous playback, while it fades out
        self._changed = asyncio.Event()
        self._device_lost: asyncio.Future[SaylineError]
        self._loop: asyncio.AbstractEventLoop

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._device_lost = self._loop.create_future()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        self._fail_contexts(SaylineError("the player was closed during playback: leave it after `play` has returned"))
        await asyncio.to_thread(self._device.close)

    async def play(self, speech: Context, on_event: OnEvent | None = None) -> Cancelled:
        """Play a context, and return when all of it has been heard: `heard_text`, `unheard_text`.

        While another context is playing, this waits for its end. `on_event` receives every event when it arrives, which
        is before it is heard; compare its time with `played_ms`. Errors of the context are raised after the audio
        received before has been played.
        """
        async with self._play_lock:
            playback = await self._start(speech)
            writing = asyncio.create_task(self._write(speech, playback, on_event))
            reporting = asyncio.create_task(self._send_acks(speech, playback))
            try:
                ends: list[asyncio.Future[Any]] = [writing, self._device_lost]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if not writing.done():
                    raise self._device_lost.result()
                writing.result()
                return await speech.cancel(playback.played_ms)
            finally:
                playback.stop()
                writing.cancel()
                reporting.cancel()
                await asyncio.wait([writing, reporting])

    async def cancel(self) -> Cancelled:
        """Stop playback, and return what was heard. Idempotent."""
        if self._speech is None or self._playback is None:
            raise SaylineError("nothing has been played yet: call `play` first")
        return await self._speech.cancel(self._playback.stop())

    def pause(self) -> None:
        """Pause playback; the server pauses too, once the lead is used up."""
        if self._playback is not None:
            self._playback.pause()

    def resume(self) -> None:
        """Continue after `pause`."""
        if self._playback is not None:
            self._playback.resume()

    @property
    def played_ms(self) -> float:
        """How much of the current context has been played."""
        return self._playback.played_ms if self._playback else 0.0

    @property
    def lead_ms(self) -> float:
        """Audio received and not played yet."""
        return self._playback.lead_ms if self._playback else 0.0

    @property
    def underruns(self) -> int:
        """Number of underruns in the current context."""
        return self._playback.underruns if self._playback else 0

    async def _start(self, speech: Context) -> Playback:
        if not self._open:
            raise SaylineError("the player is closed: use it with `async with`")
        if self._sample_rate_hz != speech.sample_rate_hz:
            self._sample_rate_hz = 0
            await asyncio.to_thread(self._device.close)
            self._device_lost = gone = self._loop.create_future()
            on_gone = self._threadsafe(self._on_device_lost, gone)
            await asyncio.to_thread(self._device.open, speech.sample_rate_hz, self._read, on_gone)
            self._sample_rate_hz = speech.sample_rate_hz
        playback = Playback(speech.sample_rate_hz, self._device.latency_ms, self._threadsafe(self._notify))
        self._speech, self._playback, self._previous = speech, playback, self._playback
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
        except Exception:  # of the server, or of the text
            await self._wait_until_played(playback)
            raise
        await self._wait_until_played(playback)

    async def _wait_until_played(self, playback: Playback) -> None:
        playback.end()
        while not playback.over:
            await self._changed.wait()

    async def _send_acks(self, speech: Context, playback: Playback) -> None:
        with suppress(SaylineError):  # raised to the reader of the context too
            while True:
                await self._changed.wait()
                await speech.ack(playback.played_ms)

    def _read(self, samples: int) -> bytes:
        """Called in the device's thread."""
        fading, playback = self._previous, self._playback
        if fading is not None and not fading.drained:
            return fading.read(samples)
        return playback.read(samples) if playback is not None else bytes(samples * BYTES)

    def _threadsafe(self, call: Callable[..., None], *arguments: object) -> Callable[[], None]:
        """Wrap a call so that any thread may make it."""

        def now() -> None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(call, *arguments)

        return now

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _on_device_lost(self, gone: asyncio.Future[SaylineError]) -> None:
        if gone is self._device_lost:
            self._fail_contexts(NoSound("the audio device was disconnected: plug it in again, or use another one"))

    def _fail_contexts(self, why: SaylineError) -> None:
        self._sample_rate_hz = 0
        if not self._device_lost.done():
            self._device_lost.set_result(why)
