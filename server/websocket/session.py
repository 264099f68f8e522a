"""What one client has going: its contexts, what waits to be sent of them, and what was sent and may not have come.

It outlives a connection that is lost, for a while. Knows the protocol; knows no socket: `sayline_tts.server.websocket.connection`.
"""

import asyncio
import secrets
from collections.abc import Callable, Container, Mapping

import msgspec
from msgspec import UNSET

from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.app_state import Shared
from sayline_tts.server.websocket import protocol
from sayline_tts.server.websocket.context import Context
from sayline_tts.server.websocket.outbox import Outbox, Outgoing
from sayline_tts.server.websocket.protocol import Ack, Cancel, End, Flush, ProtocolError, Start, Text
from sayline_tts.server.websocket.replay_buffer import History

LEAD_BYTES = 4 * 1024 * 1024  # of audio that is made and not sent, for all contexts together
LEAST_LEAD_MS = 240.0  # which every context gets, whatever others have
MAX_OVER = 64  # contexts that are over and whose last event may have been lost
MEGABYTE = 1024 * 1024


class Session:
    """`on_idle` is called whenever its last context is over."""

    def __init__(self, caller: Caller, shared: Shared, on_idle: Callable[["Session"], None]) -> None:
        self.id = secrets.token_hex(6)
        self.token = secrets.token_urlsafe(18)
        self.caller = caller
        self.outbox = Outbox()
        self.history = History(shared.settings.resume_mb * MEGABYTE)
        self.accepts = True  # new contexts
        self._shared, self._on_idle = shared, on_idle
        self._contexts: dict[str, Context] = {}
        self._over: dict[str, Context] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._quiet_since_s = self._loop.time()

    @property
    def open_contexts(self) -> int:
        return len(self._contexts)

    @property
    def quiet_s(self) -> float | None:
        """For so long nothing has been going on. None: something is."""
        return None if self._contexts else self._loop.time() - self._quiet_since_s

    def greet(self, ready: protocol.Ready) -> None:
        """`ready`: what is the same for all."""
        limits, store = self.caller.limits, self._shared.worker.voices.store
        own = [card.name for card in store.visible(self.caller.name)] if store else []
        voices = tuple(dict.fromkeys((*limits.allowed_voices(ready.voices), *own)))
        greeting = msgspec.structs.replace(
            ready,
            voices=voices,
            default_voice=limits.voice_unasked(ready.default_voice, voices),
            session_id=self.id,
            token=self.token,
            resume_s=self._shared.settings.resume_s,
        )
        self.outbox.put(greeting)

    def handle(self, message: protocol.ContextMessage) -> None:
        """Raises `ProtocolError` where it is refused; what is going on goes on."""
        self._quiet_since_s = self._loop.time()
        context = self._contexts.get(message.context_id)
        if context is None:
            self._handle_stray(message)
            return
        context.take_in(message)
        match message:
            case Start():
                raise ProtocolError("context_exists", f"context {context.id!r} is open already", context.id)
            case Text(text=text):
                context.push(text)
            case Flush(id=flush_id):
                context.flush(flush_id)
            case End():
                context.end()
            case Cancel(played_ms=played_ms):
                context.cancel(played_ms)
            case Ack(played_ms=played_ms):
                context.ack(played_ms)
                self.history.heard(context, min(played_ms, context.sent_ms))

    def refuse(self, error: ProtocolError) -> None:
        """Say so, as an event of its context, where there is one."""
        if context := self._contexts.get(error.context_id or ""):
            context.refuse(error)
            return
        context_id = UNSET if error.context_id is None else error.context_id
        retry_after_ms = protocol.if_known(error.retry_after_ms)
        self._shared.metrics.on_reject(error.code, self.caller.name)
        self.outbox.put(protocol.Error(error.code, error.message, error.refused_start, context_id, retry_after_ms))

    def on_leaving(self, out: Outgoing) -> None:
        """This goes to the socket now, and may never come."""
        if out.owner is not None and isinstance(out.event, protocol.ContextEvent):
            seq = out.event.seq
            assert seq is not UNSET, "an event of a context without a number"
            self.history.keep(out, seq, out.owner.on_sent(out.event))

    def resume(self, last_seqs: Mapping[str, int]) -> dict[str, int] | None:
        """Send again what came after these. How many messages of each were taken; None: something is missing."""
        taken, again = {}, []
        for context_id, last_seq in last_seqs.items():
            context = self._contexts.get(context_id) or self._over.get(context_id)
            if context is None:  # its `start` was lost on the way
                if last_seq >= 0:
                    return None
                taken[context_id] = 0
                continue
            missed = self.history.since(context, last_seq, context.next_seq)
            if missed is None:
                return None
            taken[context_id] = context.taken
            again.append((context, missed))
        self._drop_all_but(last_seqs)
        for context, missed in again:
            self.history.drop(context)
            context.rewind([out.event for out in missed])
            self.outbox.put_back(missed)
        return taken

    def fail(self, code: str, message: str) -> None:
        """Every context hears this as its last."""
        for context in list(self._contexts.values()):
            context.fail(code, message)

    def give_up(self, code: str, message: str) -> list[protocol.ServerEvent]:
        """All contexts end, and what waits is not sent, but for what is the last of each."""
        self.fail(code, message)
        lasts: list[protocol.ServerEvent] = []
        for out in self.outbox.take_all():
            match out.event:
                case protocol.Done(context_id=context_id, seq=seq):  # its audio did not get through
                    lasts.append(protocol.Error(code, message, True, context_id, seq=seq))
                case protocol.Cancelled() | protocol.Error(final=True) as last:
                    lasts.append(last)
        return lasts

    def close(self) -> None:
        """Nobody listens any more. Twice is harmless."""
        self.accepts = False
        for context in list(self._contexts.values()):
            context.drop()
        for opening in self._opening:
            opening.cancel()
        self._over.clear()

    def _handle_stray(self, message: protocol.ContextMessage) -> None:
        match message:
            case Start():
                self._open(message)
            case Ack(played_ms=played_ms):  # the last of it is heard when its last event is long said
                if former := self._over.get(message.context_id):
                    self.history.heard(former, min(played_ms, former.sent_ms))
            case Cancel():
                pass  # its last event and this have met on the way
            case _:
                told = f"there is no context {message.context_id!r}: it was never started, or is over"
                raise ProtocolError("unknown_context", told, message.context_id)

    def _open(self, start: Start) -> None:
        """An id may be used again once its last event has been said."""
        context_id, most = start.context_id, self._shared.settings.max_contexts
        if not self.accepts:
            told = "the server is shutting down; connect again"
            raise ProtocolError("shutting_down", told, context_id, refused_start=True)
        if len(self._contexts) >= most:
            told = f"{most} contexts are open in this session, and no more may be; end one first"
            raise ProtocolError("too_many_contexts", told, context_id, refused_start=True)
        try:
            context = Context(start, self.caller, self._shared, self.outbox, self._lead_ms(start), self._forget)
        except InputError as error:
            raise ProtocolError(error.code, str(error), context_id, True, error.retry_after_ms) from None
        if former := self._over.pop(context_id, None):  # its last event has come, or its client would not begin anew
            self.history.drop(former)
        self._contexts[context_id] = context
        opening = asyncio.create_task(context.open(), name=f"open {context_id}")
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    def _lead_ms(self, start: Start) -> float:
        """What it asks for, as far as the memory of this session allows."""
        settings = self._shared.settings
        asked_ms = settings.lead_ms if start.max_lead_ms is None else start.max_lead_ms
        left_bytes = LEAD_BYTES - sum(context.lead_bytes for context in self._contexts.values())
        affordable_ms = max(LEAST_LEAD_MS, left_bytes / Context.bytes_per_ms(start))
        return min(asked_ms, settings.max_lead_ms, affordable_ms)

    def _drop_all_but(self, context_ids: Container[str]) -> None:
        for context in [*self._contexts.values(), *self._over.values()]:
            if context.id not in context_ids:
                context.drop()
                self.history.drop(context)

    def _forget(self, context: Context) -> None:
        del self._contexts[context.id]
        self._over[context.id] = context
        if len(self._over) > MAX_OVER:
            self.history.drop(self._over.pop(next(iter(self._over))))
        self._quiet_since_s = self._loop.time()
        if not self._contexts:
            self._on_idle(self)
