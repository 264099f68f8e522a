"""When one utterance passed each stage on its way from text to audio."""

from dataclasses import dataclass


@dataclass(slots=True)
class Timeline:
    """Times of the event loop's clock, in seconds; None: not reached."""

    submitted_s: float
    admitted_s: float | None = None  # it has a slot
    stepped_s: float | None = None  # FlowLM has made the first frame
    last_step_s: float | None = None  # FlowLM has made the last frame so far
    decoded_s: float | None = None  # the codec has decoded the first frame
    encoded_s: float | None = None  # the first frame is encoded
    replayed: bool = False  # from the repeat cache, without a step
    replayed_frames: int = 0  # all of them
