"""Audio output devices. The default uses the `sounddevice` package (the extra `play`)."""

from collections.abc import Callable
from typing import Any, Protocol

from sayline.errors import NoSound

LATENCY_S = 0.05  # short enough to stop quickly, long enough for a busy machine
OTHERWISE = "write a file instead, with -o speech.wav"


class Device(Protocol):
    """Output device of a `Player`."""

    @property
    def latency_ms(self) -> float:
        """Delay from `read` to the loudspeaker, while the device is open."""

    def open(self, sample_rate_hz: int, read: Callable[[int], bytes], on_gone: Callable[[], None]) -> None:
        """Start calling `read(samples)`, in a thread of its own, whenever it needs 16-bit mono samples.

        `on_gone` is called when it stops doing so. Raises `NoSound`.
        """

    def close(self) -> None:
        """Stop immediately. Idempotent."""


class SoundDevice:
    """`name`: a name or index as `python -m sounddevice` lists it. Raises `NoSound` if there is no such device."""

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
            raise NoSound(f"cannot open the audio device ({error}): {OTHERWISE}") from error

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.abort()
            stream.close()


def find_sound_device(name: str | int | None) -> Any:
    """Return the `sounddevice` module if it has this output device. Raises `NoSound`."""
    try:
        import sounddevice
    except ImportError as error:
        raise NoSound(f"playing needs the sounddevice package: pip install sounddevice, or {OTHERWISE}") from error
    except OSError as error:  # PortAudio itself is missing
        raise NoSound(f"playing needs PortAudio ({error}): install libportaudio2, or {OTHERWISE}") from error
    try:
        sounddevice.query_devices(name, kind="output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise NoSound(f"no audio device ({error}): {OTHERWISE}") from error
    return sounddevice
