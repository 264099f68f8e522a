"""What a page gave to the sound device, sample by sample, by the audio clock."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tests.web.site import Site, respond

FOLDER = Path(__file__).parent
WINDOW_MS = 10
SILENT = 0.02  # a window that is no louder


async def listen(page: Any, site: Site) -> None:
    """From the page's first moment on; before `goto`."""
    worklet = (FOLDER / "tap-worklet.js").read_bytes()
    site.answers["/tap-worklet.js"] = lambda _: respond(worklet, "text/javascript")
    await page.add_init_script(path=FOLDER / "tap.js")


@dataclass(frozen=True)
class Heard:
    """`samples` begin at `start_frame` of the audio clock. `presses`: of buttons, by what stood on them."""

    samples: npt.NDArray[np.float32]
    rate_hz: int
    start_frame: int
    presses: dict[str, int]
    lit: list[tuple[str, int]]

    @classmethod
    async def of(cls, page: Any) -> Self:
        tap = await page.evaluate("({...tap, pieces: null, samples: tap.samples()})")
        samples = np.frombuffer(base64.b64decode(tap["samples"]), np.float32)
        lit = [(each["word"], each["frame"]) for each in tap["lit"]]
        return cls(samples, tap["rateHz"], tap["startFrame"], tap["presses"], lit)

    @property
    def loud(self) -> list[tuple[float, float]]:
        """From when to when something is heard, in milliseconds of the audio clock."""
        window = self.rate_hz * WINDOW_MS // 1000
        whole = self.samples[: len(self.samples) // window * window].reshape(-1, window)
        is_loud = np.concatenate([[False], np.abs(whole).max(axis=1) > SILENT, [False]])
        edges = np.flatnonzero(is_loud[1:] != is_loud[:-1]) * WINDOW_MS + self.ms(self.start_frame)
        return [(float(start), float(end)) for start, end in edges.reshape(-1, 2)]

    @property
    def speech_ms(self) -> float:
        return self.loud_ms(0, float("inf"))

    def loud_ms(self, start_ms: float, end_ms: float) -> float:
        """How much of that time something is heard."""
        return sum(max(0, min(end, end_ms) - max(start, start_ms)) for start, end in self.loud)

    def when_ms(self, speech_ms: float) -> float:
        """When so much of the speech had been heard. A busy machine may run dry on the way."""
        for start, end in self.loud:
            if speech_ms <= end - start:
                return start + speech_ms
            speech_ms -= end - start
        return self.loud[-1][1]

    def ms(self, frame: int) -> float:
        return frame * 1000 / self.rate_hz
