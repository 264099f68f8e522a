"""Deliver what an engine makes of one utterance to its front: steps with their PCM, in order."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from sayline_tts.engine.engine import Event, FrameSpoken, SegmentSpoken, SilenceSpoken
from sayline_tts.engine.guarding.guarded_segment import MadeFrame
from sayline_tts.engine.scheduling.utterance import Status, Utterance
from sayline_tts.engine.segment import Segment
from sayline_tts.server.fleet import wire
from sayline_tts.server.synthesis.engine_loop import NullListener
from sayline_tts.server.synthesis.output_stream import OutputStream

log = logging.getLogger(__name__)

_Message = Callable[[np.ndarray | None], wire.Event]  # of the PCM, if it has some


class StepStream(OutputStream):
    """In the place of a stream to a listener in this process: words, gain and encoding are the front's."""

    def __init__(
        self,
        number: int,
        utterance: Utterance,
        post: Callable[[wire.Event], None],
        on_closed: Callable[[OutputStream], None],
    ) -> None:
        super().__init__(utterance, NullListener(), on_closed)
        self.number, self._post = number, post
        self._versions: deque[list[Segment]] = deque()  # of each segment that has not been spoken
        self._last_index = -1
        self._waiting: deque[tuple[Future[np.ndarray] | None, _Message]] = deque()
        self.on_reclaim = lambda: post(wire.Reclaim(number))
        log.debug("utterance %d begins at %.0f ms", number, utterance.produced_ms)

    def take_part(self, part: wire.Part) -> None:
        """Add a part, or a longer version of the last one."""
        if part.segment is None:
            self.utterance.add(wire.silence(part))
        elif part.index == self._last_index:
            self._versions[-1].append(part.segment)
            self.utterance.grow(part.segment)
        else:
            self._versions.append([part.segment])
            self.utterance.add(part.segment)
        self._last_index = part.index

    def add(self, event: Event) -> None:
        match event:
            case FrameSpoken(audio=audio, made=made):
                if self.waiting_since is None:
                    self.waiting_since = self._loop.time()
                self._waiting.append((audio, self._frame(made)))
                audio.add_done_callback(self._on_decoded)
            case SegmentSpoken(made=made):
                utterance = self.utterance
                is_current = utterance.progress is not None and utterance.progress.segment is event.segment
                noise = utterance.noise if is_current else utterance.segment_noise
                attention = wire.to_bytes(made.attention) if made is not None else b""
                self._versions.popleft()
                end = wire.SegmentEnd(self.number, attention, noise.seed, noise.draws)
                self._waiting.append((None, lambda _: end))
            case SilenceSpoken():
                pass  # its last frame tells
            case _:
                ended = wire.Ended(self.number, event.status is Status.FINISHED)
                self._waiting.append((None, lambda _: ended))
        self._post_ready()

    def set_queue_position(self, position: int | None) -> None:
        self.queue_position = position
        if position is None:
            self._post(wire.Admitted(self.number))

    def close(self) -> None:
        if not self.closed:
            produced_ms = self.utterance.produced_ms
            self._context.run(log.debug, "utterance %d ends here, at %.0f ms", self.number, produced_ms)
        super().close()

    def finish(self, status: Status) -> None:
        if not self.closed:
            self.close()
            self._post(wire.Ended(self.number, status is Status.FINISHED))

    def _frame(self, made: MadeFrame | None) -> _Message:
        """What there is to say of a frame but its PCM, as things are now."""
        if made is None:
            return lambda _: wire.SilentFrame(self.number)
        utterance, versions = self.utterance, self._versions[0]
        assert utterance.progress is not None, "a frame of no segment"
        segment, noise = utterance.progress.segment, utterance.noise
        version = next((place for place, each in enumerate(versions, 1) if each is segment), len(versions))
        latent, attention = made.latent.float().cpu().numpy().tobytes(), wire.to_bytes(made.attention)
        rest = noise.seed, noise.draws, utterance.retries
        return lambda pcm: wire.Frame(self.number, version, made.is_eos, latent, attention, wire.to_bytes(pcm), *rest)

    def _on_decoded(self, _: object) -> None:
        """On a thread of the codec."""
        self._loop.call_soon_threadsafe(self._post_ready)

    def _post_ready(self) -> None:
        while self._waiting and not self.closed:
            audio, message = self._waiting[0]
            if audio is not None and not audio.done():
                self.waiting_since = self._loop.time()
                return
            self._waiting.popleft()
            if audio is not None and audio.exception() is not None:
                self.finish(Status.FAILED)
                return
            event = message(None if audio is None else audio.result())
            if isinstance(event, wire.Ended):
                self.close()
            self._post(event)
        self.waiting_since = None
