"""What the server counts and measures, for Prometheus. Knows nothing of who is measured, nor of HTTP.

In a registry of its own, so that two servers in one process do not mix. Every `on_...` may be called from any thread
and costs microseconds. Nothing that a peer can choose becomes a label, but its key's name.
"""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

ANONYMOUS = "anonymous"
OTHER = "other"
MOST_VALUES = 200  # of one label: each is a series that Prometheus keeps
FIRST_AUDIO_S = (0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
LEAD_S = (0.0, 0.08, 0.16, 0.24, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 5.0, 15.0, 60.0)
STEP_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.5, 1.0)
ROWS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
ENCODE_S = (0.0001, 0.0002, 0.0004, 0.0006, 0.0008, 0.001, 0.002, 0.005, 0.01, 0.05)

# What is not counted but looked up when somebody asks: `watch` says where.
WATCHED = {
    "slots": "Contexts that may have a place in memory",
    "slots_used": "Contexts that have a place in memory",
    "capacity": "Contexts that may have something to say at once",
    "speaking": "Contexts that have something to say",
    "waiting": "Contexts in the queue",
    "contexts": "Contexts that have not ended",
    "sessions": "Open sessions",
    "codec_backlog_frames": "Frames that the codec has not decoded yet",
    "tasks": "Tasks on the event loop",
}

# Or beside every counter there would be when it was made: nobody asks for that.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # CPU time, memory, descriptors

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"sayline_{name}", meaning, labels, buckets=buckets, registry=registry)

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"sayline_{name}", meaning, labels, registry=registry)

        told = "From the first text that can be spoken to its first audio"
        self._first_audio = histogram("first_audio_seconds", told, FIRST_AUDIO_S)
        self._lead = histogram("lead_seconds", "Audio that lay ahead of a listener when a frame was sent", LEAD_S)
        self._frames = counter("frames_sent", "Frames of audio sent")
        self._underruns = counter("underruns", "Times when a listener had nothing to play in the middle of speech")
        self._dry = counter("underrun_seconds", "How long listeners had nothing to play in the middle of speech")
        self._step = histogram("step_seconds", "Time of a step of the model", STEP_S, "kind")
        self._rows = histogram("step_rows", "Rows of a step: contexts that began a segment, or went on", ROWS, "kind")
        self._encode = histogram("encode_seconds", "Time to encode a frame", ENCODE_S, "format")
        self._rejects = counter("rejects", "What was refused, by the code of the error", "code", "key")
        self._unheard = counter("cancelled_audio_seconds", "Audio that was generated and then cancelled, unheard")
        self._started = counter("key_contexts", "Contexts started, by the name of the key", "key")
        self._chars = counter("key_chars", "Characters of text taken, by the name of the key", "key")
        self._spoken = counter("key_audio_seconds", "Audio generated, by the name of the key", "key")
        self._over = counter("contexts_over", "Contexts that ended, by how", "outcome")
        self._watched = {
            name: Gauge(f"sayline_{name}", meaning, registry=registry) for name, meaning in WATCHED.items()
        }
        self._seen: dict[str, set[str]] = {}

    # What happens

    def on_first_audio(self, ms: float) -> None:
        """So long after the last byte of the first text that can be spoken."""
        self._first_audio.observe(ms / 1000)

    def on_frame_sent(self, lead_ms: float | None = None) -> None:
        """`lead_ms`: what the listener had left to play before this frame; None where nobody knows."""
        self._frames.inc()
        if lead_ms is not None:
            self._lead.observe(lead_ms / 1000)

    def on_underrun(self, ms: float) -> None:
        """A listener had nothing to play for so long, though there was text to speak."""
        self._underruns.inc()
        self._dry.inc(ms / 1000)

    def on_step(self, rows: int, ms: float, joining: bool = False) -> None:
        """`joining`: its rows began a segment."""
        kind = "join" if joining else "go_on"
        self._step.labels(kind).observe(ms / 1000)
        self._rows.labels(kind).observe(rows)

    def on_encoded(self, ms: float, format: str = "opus") -> None:
        """One frame, to this format."""
        self._encode.labels(self._bounded("format", format)).observe(ms / 1000)

    def on_reject(self, code: str, key: str = ANONYMOUS) -> None:
        """`code` is one of ours, never what a peer has written."""
        self._rejects.labels(self._bounded("code", code), self._bounded("key", key)).inc()

    def on_cancelled(self, unheard_ms: float) -> None:
        """So much had been generated and was not heard."""
        self._unheard.inc(unheard_ms / 1000)

    def on_context(self, key: str = ANONYMOUS) -> None:
        """Somebody with this key starts to speak, over whatever door."""
        self._started.labels(self._bounded("key", key)).inc()

    def on_chars(self, chars: int, key: str = ANONYMOUS) -> None:
        self._chars.labels(self._bounded("key", key)).inc(chars)

    def on_spoken(self, ms: float, key: str = ANONYMOUS) -> None:
        """So much audio more. Once for each context is enough."""
        self._spoken.labels(self._bounded("key", key)).inc(ms / 1000)

    def on_over(self, outcome: str) -> None:
        """`outcome`: done, cancelled, failed, dropped."""
        self._over.labels(self._bounded("outcome", outcome)).inc()

    # What is so

    def watch(self, **sources: Callable[[], float]) -> None:
        """Where to look up the numbers of `WATCHED`, each time somebody asks."""
        for name, source in sources.items():
            self._watched[name].set_function(source)

    def render(self) -> bytes:
        """All of it, as `content_type` says. On the event loop: it looks up what is watched."""
        return generate_latest(self._registry)

    def _bounded(self, label: str, value: str) -> str:
        seen = self._seen.setdefault(label, set())
        if value not in seen and len(seen) >= MOST_VALUES:
            return OTHER
        seen.add(value)
        return value
