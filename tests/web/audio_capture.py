"""Captures the samples that a page sends to the audio device, on the audio clock."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tests.web.site import Site, http_response

FOLDER = Path(__file__).parent
WINDOW_MS = 10
SILENCE_PEAK = 0.02


async def capture_audio(page: Any, site: Site) -> None:
    """Install the capture. Call it before `goto`."""
    worklet = (FOLDER / "audio_capture_worklet.js").read_bytes()
    site.responders["/audio_capture_worklet.js"] = lambda _: http_response(worklet, "text/javascript")
    await page.add_init_script(path=FOLDER / "audio_capture.js")


async def flush_captured_audio(page: Any, more_ms: float = 0) -> None:
    """Wait until everything sent to the device so far has been captured, and this much more."""
    await page.evaluate("(ms) => capture.flush(ms)", more_ms)


@dataclass(frozen=True)
class CapturedAudio:
    """Captured samples, from `start_frame` of the audio clock on, with the frames of clicks and highlighted words."""

    samples: npt.NDArray[np.float32]
    rate_hz: int
    start_frame: int
    clicks: dict[str, int]
    highlights: list[tuple[str, int]]

    @classmethod
    async def from_page(cls, page: Any) -> Self:
        capture = await page.evaluate("({...capture, pieces: null, samples: capture.samples()})")
        samples = np.frombuffer(base64.b64decode(capture["samples"]), np.float32)
        highlights = [(each["word"], each["frame"]) for each in capture["highlights"]]
        return cls(samples, capture["rateHz"], capture["startFrame"], capture["clicks"], highlights)

    @property
    def sounds(self) -> list[tuple[float, float]]:
        """Start and end of each sound, in milliseconds of the audio clock."""
        window = self.rate_hz * WINDOW_MS // 1000
        whole = self.samples[: len(self.samples) // window * window].reshape(-1, window)
        is_loud = np.concatenate([[False], np.abs(whole).max(axis=1) > SILENCE_PEAK, [False]])
        edges = np.flatnonzero(is_loud[1:] != is_loud[:-1]) * WINDOW_MS + self.ms(self.start_frame)
        return [(float(start), float(end)) for start, end in edges.reshape(-1, 2)]

    @property
    def speech_ms(self) -> float:
        return self.sound_ms(0, float("inf"))

    def sound_ms(self, start_ms: float, end_ms: float) -> float:
        """The duration of sound in an interval."""
        return sum(max(0, min(end, end_ms) - max(start, start_ms)) for start, end in self.sounds)

    def time_of_speech_ms(self, speech_ms: float) -> float:
        """When this much speech had been played. There may be gaps if the machine was too slow."""
        for start, end in self.sounds:
            if speech_ms <= end - start:
                return start + speech_ms
            speech_ms -= end - start
        return self.sounds[-1][1]

    def ms(self, frame: int) -> float:
        return frame * 1000 / self.rate_hz
