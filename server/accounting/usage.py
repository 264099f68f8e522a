"""What one utterance took and gave, for the client that asked for it."""

import math

import msgspec
from msgspec import UNSET, UnsetType

FIELD = "Sayline-Usage"  # HTTP header or trailer


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """The account of one utterance. Characters are those of the text as sent, before normalization.

    `taken_chars` were accepted. `billed_chars` of them were spoken at least in part: text behind a cancellation is not
    billed, and neither is speech that failed inside the server. `generated_ms` of audio were made. `heard_ms` is all
    audio sent if the utterance was completed, else what had been played (over HTTP: read) when it ended. `queued_ms` is
    the time in the admission queue, `retries` how many frames had to be made again. `first_audio_ms` is the time from
    the first speakable text to its first audio; absent if there was none.
    """

    taken_chars: int
    billed_chars: int
    generated_ms: float
    heard_ms: float
    queued_ms: float = 0.0
    retries: int = 0
    first_audio_ms: float | UnsetType = UNSET


def usage_field(usage: Usage) -> str:
    """The usage as a dictionary of structured fields (RFC 9651), for `FIELD`."""
    values = msgspec.structs.asdict(usage).items()
    return ", ".join(f"{name.replace('_', '-')}={_number(value)}" for name, value in values if value is not UNSET)


def server_timing(queued_ms: float, first_audio_ms: float | None, total_ms: float | None = None) -> str:
    """The value of a `Server-Timing` header, which browsers show with the request. None: not known."""
    durations = {"queue": queued_ms, "first-audio": first_audio_ms, "total": total_ms}
    return ", ".join(f"{name};dur={ms:.1f}" for name, ms in durations.items() if ms is not None)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{math.floor(value * 10) / 10:.1f}"
