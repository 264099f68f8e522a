"""The life of a context, seen from the client: what may be said when."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from sayline.messages import Ack, Cancel, ContextMessage, End, Flush, Start, Text


class State(Enum):
    NEW = "new"  # nothing sent yet
    OPEN = "open"  # takes text
    ENDED = "ended"  # the end of the text is sent; audio still comes
    CANCELLED = "cancelled"  # the server is told to stop, and has not answered yet
    OVER = "over"  # the last event is here


MAY_SEND: Mapping[State, tuple[type[ContextMessage], ...]] = MappingProxyType(
    {
        State.NEW: (Start,),
        State.OPEN: (Text, Flush, End, Cancel, Ack),
        State.ENDED: (Cancel, Ack),
        State.CANCELLED: (),
        State.OVER: (),
    }
)
LEADS_TO: Mapping[type[ContextMessage], State] = MappingProxyType(
    {Start: State.OPEN, End: State.ENDED, Cancel: State.CANCELLED}
)
