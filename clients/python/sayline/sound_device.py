"""Where sound is heard. The real one plays through the `sounddevice` package (the extra `play`)."""

from collections.abc import Callable
from typing import Any, Protocol

from sayline.errors import NoSound

LATENCY_S = 0.05  # little enough to be silent at once, much enough for a busy machine
OTHERWISE = "write a file instead, with -o speech.wav"


class Device(Protocol):
    """What a `Player` plays on."""

    @property
    def latency_ms(self) -> float:
        """From `read` to the ear. Asked when it is open."""

    def open(self, sample_rate_hz: int, read: Callable[[int], bytes], on_gone: Callable[[], None]) -> None:
        """From now on, in a thread of its own: `read(samples)` whenever so many 16-bit mono samples are needed.

        `on_gone` is called when it will not do that any more. Raises `NoSound`.
        """

    def close(self) -> None:
        """Silent at once. Twice is harmless."""


class SoundDevice:
    """`name` as `python -m sounddevice` lists it, or its number there. Raises `NoSound` where there is none."""

    def __init__(self, name: str | int | None = None) -> None:
        self._name = name
        self._stream: Any = None
        self._sounddevice = find_sound_device(name)

    @property
    def latency_ms(self) -> float:
        return float(self._stream.latency) * 1000

    def open(self, sample_rate_hz: int, read: Callable[[int], bytes], on_gone: Callable[[], None]) -> None:
        def fill(data: Any, samples: int, *_: Any) -> None:
            data[:] = read(samples)

        try:
            self._stream = self._sounddevice.RawOutputStream(
                samplerate=sample_rate_hz, channels=1, dtype="int16", device=self._name, latency=LATENCY_S,
                callback=fill, finished_callback=on_gone,
            )  # fmt: skip
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            self.close()
            raise NoSound(f"the sound device cannot be opened ({error}): {OTHERWISE}") from error

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()
            stream.close()


def find_sound_device(name: str | int | None) -> Any:
    """The `sounddevice` module, when it has this device to play on."""
    try:
        import sounddevice
    except ImportError as error:
        raise NoSound(f"playing needs the sounddevice package: pip install sounddevice, or {OTHERWISE}") from error
    except OSError as error:  # the package is there, the library under it is not
        raise NoSound(f"playing needs PortAudio ({error}): install libportaudio2, or {OTHERWISE}") from error
    try:
        sounddevice.query_devices(name, kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise NoSound(f"no sound device here ({error}): {OTHERWISE}") from error
    return sounddevice
