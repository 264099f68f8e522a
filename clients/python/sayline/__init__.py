"""Client of a Sayline server: stream text in while it is being written, receive speech while it is being generated."""

from sayline import sync
from sayline.client import Session, connect
from sayline.context import Context
from sayline.errors import (
    ConnectionLost,
    ContextFailed,
    Full,
    Limited,
    NoSound,
    NotRecovered,
    ProtocolError,
    Refused,
    SaylineError,
    SlowConsumer,
    UnknownVoice,
    VoiceFailed,
)
from sayline.frame import Frame
from sayline.inbox import Event
from sayline.messages import Cancelled, Done, Flushed, Format, Mode, Queued, Ready, Segment, Usage, Word, WordEnd
from sayline.player import Player
from sayline.sound_device import Device
from sayline.text_stream import Text, text_of
from sayline.voices import Voice, Voices
from sayline.wire import Encoding

__all__ = [
    "Cancelled",
    "ConnectionLost",
    "Context",
    "ContextFailed",
    "Device",
    "Done",
    "Encoding",
    "Event",
    "Flushed",
    "Format",
    "Frame",
    "Full",
    "Limited",
    "Mode",
    "NoSound",
    "NotRecovered",
    "Player",
    "ProtocolError",
    "Queued",
    "Ready",
    "Refused",
    "SaylineError",
    "Segment",
    "Session",
    "SlowConsumer",
    "Text",
    "UnknownVoice",
    "Usage",
    "Voice",
    "VoiceFailed",
    "Voices",
    "Word",
    "WordEnd",
    "connect",
    "sync",
    "text_of",
]
