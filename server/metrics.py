"""Prometheus metrics of the server.

Each `Metrics` has its own registry, so two servers in one process do not mix. Every `on_...` method is thread-safe and
takes microseconds. No client input becomes a label, except the name of its key.
"""

from collections.abc import Callable
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

ANONYMOUS = "anonymous"
Role = Literal["server", "front", "engine"]  # `server`: front and engine in one process
OTHER = "other"
MAX_LABEL_VALUES = 200  # per label: each value is a time series in Prometheus
FIRST_AUDIO_S = (0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
LEAD_S = (0.0, 0.08, 0.16, 0.24, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 5.0, 15.0, 60.0)
STEP_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.5, 1.0)
ROWS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
ENCODE_S = (0.0001, 0.0002, 0.0004, 0.0006, 0.0008, 0.001, 0.002, 0.005, 0.01, 0.05)

# Gauges, read from the sources given to `set_gauge_sources` at each scrape.
GAUGES = {
    "slots": "Slots for contexts in memory",
    "slots_used": "Slots in use",
    "capacity": "Contexts that may speak at the same time",
    "speaking": "Contexts that have text to speak",
    "waiting": "Contexts in the admission queue",
    "contexts": "Contexts that have not ended",
    "sessions": "Open sessions",
    "fronts": "Fronts that are connected to this engine",
    "engines": "Engines that this front is connected to",
    "codec_backlog_frames": "Frames waiting to be decoded by the codec",
    "codec_workers": "Workers of the codec, without those whose process died and cannot be replaced",
    "codec_restarts": "Processes of the codec that died and were replaced",
    "repeat_cache_bytes": "Kept speech in the repeat cache",
    "tasks": "Tasks on the event loop",
}

# Without this, every counter gets a second series with its creation time.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    def __init__(self, role: Role = "server") -> None:
        self._registry = registry = CollectorRegistry()
        Info("sayline_process", "What this process is: a server, or a front or an engine", registry=registry).info(
            {"role": role}
        )
        ProcessCollector(registry=registry)  # CPU time, memory, descriptors

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"sayline_{name}", meaning, labels, buckets=buckets, registry=registry)

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"sayline_{name}", meaning, labels, registry=registry)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(f"sayline_{name}", meaning, ("engine",), registry=registry)

        meaning = "Time from the first speakable text to its first audio"
        self._first_audio = histogram("first_audio_seconds", meaning, FIRST_AUDIO_S)
        self._lead = histogram("lead_seconds", "Buffered audio of a listener when a frame was sent", LEAD_S)
        self._frames = counter("frames_sent", "Frames of audio sent")
        self._underruns = counter("underruns", "Times a listener ran out of audio during speech")
        self._underrun_seconds = counter("underrun_seconds", "Time that listeners spent without audio during speech")
        self._step = histogram("step_seconds", "Duration of a model step", STEP_S, "kind")
        self._rows = histogram(
            "step_rows",
            "Rows of a step, by kind: join begins a segment (prefill), go_on continues one (decode)",
            ROWS,
            "kind",
        )
        self._encode = histogram("encode_seconds", "Time to encode a frame", ENCODE_S, "format")
        self._rejects = counter("rejects", "Refused requests, by error code", "code", "key")
        self._cancelled_audio = counter("cancelled_audio_seconds", "Audio generated and cancelled before it was played")
        self._started = counter("key_contexts", "Contexts started, by the name of the key", "key")
        self._chars = counter("key_chars", "Characters of text accepted, by the name of the key", "key")
        self._spoken = counter("key_audio_seconds", "Audio generated, by the name of the key", "key")
        self._repeats = counter("repeats", "Texts looked up in the repeat cache, by result", "result")
        self._retries = counter("retried_frames", "Frames that were made again because they showed a fault of speech")
        self._missed = counter("missed_words", "Words that the model left out, as far as attention tells")
        self._engine_speaking = gauge("engine_speaking", "Contexts that have text to speak, by engine of the fleet")
        self._engine_capacity = gauge("engine_capacity", "Contexts that may speak at the same time, by engine")
        self._engine_losses = counter("engine_losses", "Connections to engines that have ended", "engine")
        self._moves = counter("moves", "Contexts that went on on another engine, by reason", "reason")
        self._ended = counter("contexts_over", "Contexts that ended, by result", "outcome")
        self._gauges = {name: Gauge(f"sayline_{name}", meaning, registry=registry) for name, meaning in GAUGES.items()}
        self._label_values: dict[str, set[str]] = {}

    # Events

    def on_first_audio(self, ms: float, trace_id: str | None = None) -> None:
        """`ms`: time since the last byte of the first speakable text arrived. `trace_id`: kept as an exemplar."""
        self._first_audio.observe(ms / 1000, {"trace_id": trace_id} if trace_id else None)

    def on_frame_sent(self, lead_ms: float | None = None) -> None:
        """`lead_ms`: audio the listener had buffered before this frame; None if unknown."""
        self._frames.inc()
        if lead_ms is not None:
            self._lead.observe(lead_ms / 1000)

    def on_underrun(self, ms: float) -> None:
        """A listener had no audio to play for `ms`, although there was text to speak."""
        self._underruns.inc()
        self._underrun_seconds.inc(ms / 1000)

    def on_step(self, rows: int, ms: float, joining: bool = False) -> None:
        """`joining`: its rows began a segment."""
        kind = "join" if joining else "go_on"
        self._step.labels(kind).observe(ms / 1000)
        self._rows.labels(kind).observe(rows)

    def on_encoded(self, ms: float, format: str = "opus") -> None:
        """One frame was encoded to `format` in `ms`."""
        self._encode.labels(self._bounded("format", format)).observe(ms / 1000)

    def on_reject(self, code: str, key: str = ANONYMOUS) -> None:
        """`code` must be one of the server's own error codes, never client input."""
        self._rejects.labels(self._bounded("code", code), self._bounded("key", key)).inc()

    def on_repeat(self, hit: bool) -> None:
        """A text was looked up in the repeat cache."""
        self._repeats.labels("hit" if hit else "miss").inc()

    def on_audio_cancelled(self, unheard_ms: float) -> None:
        """`unheard_ms` of audio was generated and not played."""
        self._cancelled_audio.inc(unheard_ms / 1000)

    def on_context_start(self, key: str = ANONYMOUS) -> None:
        """A context was started with this key, over WebSocket or HTTP."""
        self._started.labels(self._bounded("key", key)).inc()

    def on_chars(self, chars: int, key: str = ANONYMOUS) -> None:
        self._chars.labels(self._bounded("key", key)).inc(chars)

    def on_audio_generated(self, ms: float, key: str = ANONYMOUS) -> None:
        """Add generated audio; call it once per context, at its end."""
        self._spoken.labels(self._bounded("key", key)).inc(ms / 1000)

    def on_engine_load(self, engine: str, speaking: int, capacity: int) -> None:
        """What an engine of a fleet reports. `engine`: its address."""
        engine = self._bounded("engine", engine)
        self._engine_speaking.labels(engine).set(speaking)
        self._engine_capacity.labels(engine).set(capacity)

    def on_engine_lost(self, engine: str) -> None:
        """The connection to an engine has ended."""
        engine = self._bounded("engine", engine)
        self._engine_losses.labels(engine).inc()
        self._engine_speaking.labels(engine).set(0)
        self._engine_capacity.labels(engine).set(0)

    def on_move(self, reason: str) -> None:
        """An utterance that had begun goes on on another engine. `reason`: death, drain."""
        self._moves.labels(reason).inc()

    def on_faults(self, retries: int, missed_words: int) -> None:
        """Add the faults of an utterance; call it once per utterance, at its end."""
        self._retries.inc(retries)
        self._missed.inc(missed_words)

    def on_context_end(self, outcome: str) -> None:
        """`outcome`: done, cancelled, failed, dropped."""
        self._ended.labels(self._bounded("outcome", outcome)).inc()

    # Reading

    def set_gauge_sources(self, **sources: Callable[[], float]) -> None:
        """Set the functions that `GAUGES` are read from at each scrape."""
        for name, source in sources.items():
            self._gauges[name].set_function(source)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics and their content type: Prometheus' text, or OpenMetrics, which has exemplars, if accepted.

        `accept`: the request's header. Call it on the event loop, because it reads the gauges.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def _bounded(self, label: str, value: str) -> str:
        known = self._label_values.setdefault(label, set())
        if value not in known and len(known) >= MAX_LABEL_VALUES:
            return OTHER
        known.add(value)
        return value
