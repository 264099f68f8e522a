"""OpenTelemetry spans: one trace for each utterance, made when it ends from the times of its stages.

Nothing is called while speech is generated, so tracing costs the same at any number of frames, and nothing if it is
off. A caller's W3C `traceparent` becomes the parent, and its sampling decision is kept. Spans carry no text.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sayline_tts.server.accounting.usage import Usage
from sayline_tts.server.settings import SettingsError
from sayline_tts.server.synthesis.timeline import Timeline

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

Attributes = Mapping[str, str | int | float | bool]
TRACES_PATH = "/v1/traces"  # of OTLP over HTTP
TRACEPARENT = re.compile("[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
CLOSE_S = 2.0  # a collector that cannot be reached does not delay the end of the server for longer


class Tracing:
    """Starts traces; without a provider they are None."""

    def __init__(self, provider: "TracerProvider | None" = None, exporter: "SpanExporter | None" = None) -> None:
        self._provider, self._exporter = provider, exporter

    @classmethod
    def to_endpoint(cls, url: str | None, version: str) -> "Tracing":
        """Spans are sent in batches by a thread to an OTLP collector, for example `http://localhost:4318`. None: off.

        The sampler and the resource are configured by OpenTelemetry's own variables (`OTEL_TRACES_SAMPLER`,
        `OTEL_RESOURCE_ATTRIBUTES`). Raises `SettingsError` if its packages are not installed.
        """
        if url is None:
            return cls()
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            message = "--otlp-endpoint needs OpenTelemetry; install it with: pip install 'sayline[tracing]'"
            raise SettingsError(message) from None
        resource = Resource.create({"service.version": version})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):  # not named by the environment
            resource = resource.merge(Resource({"service.name": "sayline"}))
        provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=url.rstrip("/") + TRACES_PATH)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider, exporter)

    def start(self, name: str, traceparent: str | None) -> "Trace | None":
        """Start the trace of one utterance. None if tracing is off or this trace is not sampled.

        `traceparent`: the caller's, as in W3C Trace Context; an invalid one is ignored.
        """
        if self._provider is None:
            return None
        trace = Trace(self._provider, name, traceparent)
        return trace if trace.sampled else None

    async def close(self) -> None:
        """Send what is left, if the collector takes it within `CLOSE_S`."""
        if self._provider is None or self._exporter is None:
            return
        closing = asyncio.ensure_future(asyncio.to_thread(self._provider.shutdown))
        done, _ = await asyncio.wait([closing], timeout=CLOSE_S)
        if not done:
            self._exporter.shutdown()  # ends its retries
        await closing


def log_id(trace: "Trace | None", traceparent: str | None) -> str:
    """The id under which logs tell of an utterance, 32 hexadecimal digits: of its trace, also if others have sampled it
    out or record it elsewhere, or else a new one.
    """
    if trace is not None:
        return trace.trace_id
    given = TRACEPARENT.match(traceparent or "")
    return given[1] if given else secrets.token_hex(16)


class Trace:
    """The spans of one utterance. `end` must be called once."""

    def __init__(self, provider: "TracerProvider", name: str, traceparent: str | None) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._offset_ns = time.time_ns() - round(asyncio.get_running_loop().time() * 1e9)  # loop time to Unix time
        self._tracer = provider.get_tracer("sayline")
        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent} if traceparent else {})
        self._span = self._tracer.start_span(name, parent, trace.SpanKind.SERVER)
        self._context = trace.set_span_in_context(self._span, parent)

    @property
    def sampled(self) -> bool:
        return self._span.is_recording()

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def end(
        self,
        outcome: str,
        usage: Usage,
        attributes: Attributes,
        timeline: Timeline | None,
        text_s: tuple[float | None, float | None],
        sent_s: float | None,
    ) -> None:
        """Make the spans of all stages that were passed.

        `timeline`: None if the utterance never reached the engine. `text_s`: when the first text came and when the
        first part of it could be spoken. `sent_s`: when the first frame was sent.
        """
        self._span.set_attributes(
            {
                **attributes,
                "sayline.outcome": outcome,
                "sayline.chars": usage.taken_chars,
                "sayline.generated_ms": usage.generated_ms,
                "sayline.heard_ms": usage.heard_ms,
                "sayline.retries": usage.retries,
                "sayline.replayed": timeline is not None and timeline.replayed,
            }
        )
        if outcome == "failed":
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR)
        self._stage("text", *text_s)
        if timeline is not None:
            speakable_s = text_s[1] or timeline.submitted_s
            self._stage("queue", timeline.submitted_s, timeline.admitted_s)
            prefill_from_s = max(speakable_s, timeline.admitted_s) if timeline.admitted_s is not None else None
            self._stage("prefill", prefill_from_s, timeline.stepped_s)
            self._stage("steps", timeline.stepped_s, timeline.last_step_s)
            self._stage("codec", timeline.stepped_s, timeline.decoded_s)
            self._stage("encode", timeline.decoded_s, timeline.encoded_s)
            self._stage("send", timeline.encoded_s, sent_s)
        self._span.end()

    def _stage(self, name: str, start_s: float | None, end_s: float | None) -> None:
        if start_s is None or end_s is None:
            return
        span = self._tracer.start_span(name, self._context, start_time=self._epoch_ns(start_s))
        span.end(self._epoch_ns(max(start_s, end_s)))

    def _epoch_ns(self, loop_s: float) -> int:
        return self._offset_ns + round(loop_s * 1e9)
