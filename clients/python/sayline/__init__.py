"""Speech while the text is still being written: the client of a Sayline server."""

from sayline.client import Format, Session, connect
from sayline.context import Context, Event, Frame
from sayline.errors import ConnectionLost, ContextFailed, ProtocolError, Refused, SaylineError
from sayline.wire import Cancelled, Done, Encoding, Queued, Ready, Segment

__all__ = [
    "Cancelled",
    "ConnectionLost",
    "Context",
    "ContextFailed",
    "Done",
    "Encoding",
    "Event",
    "Format",
    "Frame",
    "ProtocolError",
    "Queued",
    "Ready",
    "Refused",
    "SaylineError",
    "Segment",
    "Session",
    "connect",
]
