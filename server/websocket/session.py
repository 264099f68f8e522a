"""One client's contexts, the send queue that they share, and the sent events that may have been lost.

A session outlives a lost connection for a while, so that the client can resume it on another one.
"""

import asyncio
import secrets
from collections.abc import Callable, Container, Mapping

import msgspec
from msgspec import UNSET

from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.app_state import AppState
from sayline_tts.server.audio.framer import bytes_per_ms
from sayline_tts.server.websocket import messages
from sayline_tts.server.websocket.context import Context
from sayline_tts.server.websocket.messages import Ack, Cancel, Start
from sayline_tts.server.websocket.outbox import Outbox
from sayline_tts.server.websocket.protocol import ProtocolError
from sayline_tts.server.websocket.replay_buffer import ReplayBuffer

LEAD_BYTES = 4 * 1024 * 1024  # of generated and unsent audio, for all contexts together
MIN_LEAD_MS = 240.0  # granted to every context
MAX_ENDED = 64  # ended contexts that are kept because their last event may have been lost
MEGABYTE = 1024 * 1024


def new_session_id() -> str:
    return secrets.token_hex(6)


class Session:
    """`on_idle` is called whenever its last open context has ended."""

    def __init__(
        self,
        caller: Caller,
        app_state: AppState,
        on_idle: Callable[["Session"], None],
        traceparent: str | None = None,
        id: str | None = None,
    ) -> None:
        self.id = id or new_session_id()
        self.token = secrets.token_urlsafe(18)
        self.caller = caller
        self.outbox = Outbox()
        self._replay_buffer = ReplayBuffer(app_state.settings.resume_mb * MEGABYTE)
        self.accepts_contexts = True
        self._app_state, self._on_idle, self._traceparent = app_state, on_idle, traceparent
        self._contexts: dict[str, Context] = {}
        self._ended: dict[str, Context] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._idle_since_s = self._loop.time()

    @property
    def open_contexts(self) -> int:
        return len(self._contexts)

    @property
    def idle_s(self) -> float | None:
        """How long no context has been open and no message has arrived. None while a context is open."""
        return None if self._contexts else self._loop.time() - self._idle_since_s

    def send_ready(self, ready: messages.Ready) -> None:
        """Send `ready`, completed with what differs between sessions."""
        limits, store = self.caller.limits, self._app_state.engine_loop.voices.store
        custom = [card.name for card in store.visible(self.caller.name)] if store else []
        voices = tuple(dict.fromkeys((*limits.allowed_voices(ready.voices), *custom)))
        completed = msgspec.structs.replace(
            ready,
            voices=voices,
            default_voice=limits.default_voice(ready.default_voice, voices),
            session_id=self.id,
            token=self.token,
            resume_s=self._app_state.settings.resume_s,
        )
        self.outbox.put(completed)

    def handle(self, message: messages.ContextMessage) -> None:
        """Raises `ProtocolError` if the message is refused; open contexts continue."""
        self._idle_since_s = self._loop.time()
        context = self._contexts.get(message.context_id)
        if context is None:
            self._handle_without_context(message)
            return
        context.on_message(message)

    def has_room(self, message: messages.ContextMessage) -> bool:
        """Whether this message would not be refused for what is pending in its context."""
        context = self._contexts.get(message.context_id)
        return context is None or context.has_room(message)

    def fail_context(self, context_id: str, code: str, message: str, retry_after_ms: float | None = None) -> None:
        """End a context with this error, if it is open."""
        if context := self._contexts.get(context_id):
            context.fail(code, message, retry_after_ms)

    def drop_contexts(self) -> None:
        """End every context without a last event, because nobody listens."""
        self._drop_all_except(())

    def reject(self, error: ProtocolError) -> None:
        """Send an error event, as one of its context if that is open."""
        if context := self._contexts.get(error.context_id or ""):
            context.reject(error)
            return
        context_id = UNSET if error.context_id is None else error.context_id
        retry_after_ms = messages.unset_if_none(error.retry_after_ms)
        self._app_state.metrics.on_reject(error.code, self.caller.name)
        self.outbox.put(messages.Error(error.code, error.message, error.refused_start, context_id, retry_after_ms))

    def resume(self, last_seqs: Mapping[str, int]) -> dict[str, int] | None:
        """Queue everything after these numbers again. Returns the messages received of each context, or None if events
        have been discarded."""
        received, missed_events = {}, []
        for context_id, last_seq in last_seqs.items():
            context = self._contexts.get(context_id) or self._ended.get(context_id)
            if context is None:  # its `start` was lost
                if last_seq >= 0:
                    return None
                received[context_id] = 0
                continue
            missed = context.events.missed_since(last_seq)
            if missed is None:
                return None
            received[context_id] = context.received_messages
            missed_events.append((context, missed))
        self._drop_all_except(last_seqs)
        for context, missed in missed_events:
            context.events.resend(missed)
        return received

    def fail(self, code: str, message: str) -> None:
        """End every context with this error."""
        for context in list(self._contexts.values()):
            context.fail(code, message)

    def abort(self, code: str, message: str) -> list[messages.ServerEvent]:
        """End every context, discard the send queue and return the last event of each context in it."""
        self.fail(code, message)
        last_events: list[messages.ServerEvent] = []
        for out in self.outbox.drain():
            match out.event:
                case messages.Done(context_id=context_id, seq=seq):  # not true any more: its audio is discarded
                    last_events.append(messages.Error(code, message, True, context_id, seq=seq))
                case messages.Cancelled() | messages.Error(final=True) as last:
                    last_events.append(last)
        return last_events

    def close(self) -> None:
        """Drop every context, because no client is left. Idempotent."""
        self.accepts_contexts = False
        for context in list(self._contexts.values()):
            context.drop()
        for opening in self._opening:
            opening.cancel()
        self._ended.clear()

    def _handle_without_context(self, message: messages.ContextMessage) -> None:
        match message:
            case Start():
                self._open(message)
            case Ack(played_ms=played_ms):  # the end of its audio is played after its last event
                if ended := self._ended.get(message.context_id):
                    ended.events.on_ack(played_ms)
            case Cancel():
                pass  # crossed the context's last event on the way
            case _:
                reason = f"no context {message.context_id!r} is open: it was never started or has ended"
                raise ProtocolError("unknown_context", f"{reason}; send start first", message.context_id)

    def _open(self, start: Start) -> None:
        """Start a context. An id may be reused once the context's last event has been queued."""
        context_id, limit = start.context_id, self._app_state.settings.max_contexts
        if not self.accepts_contexts:
            message = "the server is shutting down; connect again"
            raise ProtocolError("shutting_down", message, context_id, refused_start=True)
        if len(self._contexts) >= limit:
            message = f"this session has {limit} open contexts, which is the maximum; end one first"
            raise ProtocolError("too_many_contexts", message, context_id, refused_start=True)
        try:
            context = Context(
                start,
                self.caller,
                self._app_state,
                self.outbox,
                self._replay_buffer,
                self._lead_ms(start),
                self._on_end,
                self._traceparent,
            )
        except InputError as error:
            raise ProtocolError(error.code, str(error), context_id, True, error.retry_after_ms) from None
        # A client that reuses the id has received the last event.
        if ended := self._ended.pop(context_id, None):
            self._replay_buffer.drop(ended.events)
        self._contexts[context_id] = context
        opening = asyncio.create_task(context.open(), name=f"open {context_id}")
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def _lead_ms(self, start: Start) -> float:
        """The requested lead, limited by the settings and by the session's memory."""
        settings = self._app_state.settings
        requested_ms = settings.lead_ms if start.max_lead_ms is None else start.max_lead_ms
        free_bytes = LEAD_BYTES - sum(context.lead_bytes for context in self._contexts.values())
        affordable_ms = max(MIN_LEAD_MS, free_bytes / bytes_per_ms(start.format))
        return min(requested_ms, settings.max_lead_ms, affordable_ms)

    def _drop_all_except(self, context_ids: Container[str]) -> None:
        for context in [*self._contexts.values(), *self._ended.values()]:
            if context.id not in context_ids:
                context.drop()
                self._replay_buffer.drop(context.events)

    def _on_end(self, context: Context) -> None:
        del self._contexts[context.id]
        self._ended[context.id] = context
        if len(self._ended) > MAX_ENDED:
            self._replay_buffer.drop(self._ended.pop(next(iter(self._ended))).events)
        self._idle_since_s = self._loop.time()
        if not self._contexts:
            self._on_idle(self)
