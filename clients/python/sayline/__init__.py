"""Speech while the text is still being written: the client of a Sayline server."""

from sayline.client import Session, connect
from sayline.context import Context
from sayline.errors import (
    ConnectionLost,
    ContextFailed,
    Full,
    Limited,
    NotRecovered,
    ProtocolError,
    Refused,
    SaylineError,
    SlowConsumer,
    UnknownVoice,
)
from sayline.frame import Frame
from sayline.inbox import Event
from sayline.messages import Cancelled, Done, Flushed, Format, Mode, Queued, Ready, Segment, Word
from sayline.wire import Encoding

__all__ = [
    "Cancelled",
    "ConnectionLost",
    "Context",
    "ContextFailed",
    "Done",
    "Encoding",
    "Event",
    "Flushed",
    "Format",
    "Frame",
    "Full",
    "Limited",
    "Mode",
    "NotRecovered",
    "ProtocolError",
    "Queued",
    "Ready",
    "Refused",
    "SaylineError",
    "Segment",
    "Session",
    "SlowConsumer",
    "UnknownVoice",
    "Word",
    "connect",
]
