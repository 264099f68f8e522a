"""`SoundDevice` with a fake `sounddevice` package."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
from sayline.errors import NoSound
from sayline.sound_device import SoundDevice


class PortAudioError(Exception):
    pass


class Stream:
    latency = 0.05

    def __init__(self, fault: str | None, callback: Callable[..., None], finished_callback: Callable[[], None]) -> None:
        self.done: list[str] = []
        self._fault, self.callback, self.finished = fault, callback, finished_callback

    def start(self) -> None:
        if self._fault == "start":
            raise PortAudioError("the device is in use")
        self.done.append("start")

    def abort(self) -> None:
        self.done.append("abort")

    def close(self) -> None:
        self.done.append("close")


class SoundDevicePackage:
    """As much of it as is used."""

    PortAudioError = PortAudioError

    def __init__(self, fault: str | None = None) -> None:
        self.fault = fault
        self.asked: list[Any] = []
        self.streams: list[Stream] = []

    def query_devices(self, device: object, kind: str) -> None:
        self.asked.append((device, kind))
        if self.fault == "none":
            raise PortAudioError("Error querying device -1")
        if self.fault == "unknown":
            raise ValueError("No output device matching 'kitchen'")

    def RawOutputStream(self, callback: Any, finished_callback: Any, **named: Any) -> Stream:
        self.asked.append(named)
        self.streams.append(Stream(self.fault, callback, finished_callback))
        return self.streams[-1]


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> SoundDevicePackage:
    package = SoundDevicePackage()
    monkeypatch.setitem(sys.modules, "sounddevice", package)
    return package


def test_device_reads_samples_on_demand(package: SoundDevicePackage) -> None:
    device, gone = SoundDevice("kitchen"), []
    device.open(24_000, lambda samples: b"ab" * samples, lambda: gone.append(True))
    [stream] = package.streams
    data = bytearray(6)
    stream.callback(data, 3, "time", "status")
    assert data == b"ababab"
    stream.finished()
    assert (gone, device.latency_ms) == ([True], 50)
    assert package.asked[0] == ("kitchen", "output")
    asked = {"samplerate": 24_000, "channels": 1, "dtype": "int16", "device": "kitchen", "latency": 0.05}
    assert package.asked[1] == asked


def test_close_stops_at_once_and_is_idempotent(package: SoundDevicePackage) -> None:
    device = SoundDevice()
    device.close()
    device.open(24_000, bytes, lambda: None)
    device.close()
    device.close()
    assert package.streams[0].done == ["start", "abort", "close"]


def test_busy_device_is_reported_and_released(package: SoundDevicePackage) -> None:
    package.fault = "start"
    with pytest.raises(NoSound, match=r"cannot open the audio device \(the device is in use\): write a file instead"):
        SoundDevice().open(24_000, bytes, lambda: None)
    assert package.streams[0].done == ["abort", "close"]


@pytest.mark.parametrize(
    ("fault", "advice"), [("none", "Error querying device -1"), ("unknown", "No output device matching 'kitchen'")]
)
def test_missing_device_suggests_a_file(package: SoundDevicePackage, fault: str, advice: str) -> None:
    package.fault = fault
    with pytest.raises(NoSound, match=rf"no audio device \({advice}\): write a file instead, with -o"):
        SoundDevice("kitchen")


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(NoSound, match="pip install sounddevice"):
        SoundDevice()


def test_missing_portaudio_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(NoSound, match="install libportaudio2"):
        SoundDevice()
