"""Life cycle of a context on the client: which messages may be sent in which state."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from sayline.messages import Ack, Cancel, ContextMessage, End, Flush, Start, Text


class State(Enum):
    NEW = "new"  # nothing sent yet
    OPEN = "open"  # takes text
    ENDED = "ended"  # `end` was sent; audio still arrives
    CANCELLED = "cancelled"  # `cancel` was sent, not answered yet
    OVER = "over"  # the final event was received


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
