"""Traces of utterances, as a collector receives them over OTLP."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sayline_tts.server import tracing
from sayline_tts.server.app import make_app
from sayline_tts.server.settings import Settings, SettingsError
from sayline_tts.server.tracing import Tracing
from tests.server.fakes import FakeEngine
from tests.server.stream_client import connected_client, serving

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
SAMPLED, UNSAMPLED = (f"00-{TRACE_ID}-{PARENT_ID}-0{flag}" for flag in (1, 0))
STAGES = ["text", "queue", "prefill", "steps", "codec", "encode", "send"]
OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


class Collector:
    """Stands in for an OTLP collector."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []

    async def receive(self, request: web.Request) -> web.Response:
        self.requests.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response()

    @property
    def resource(self) -> dict[str, str]:
        (attributes,) = {
            tuple((each.key, each.value.string_value) for each in spans.resource.attributes)
            for request in self.requests
            for spans in request.resource_spans
        }
        return dict(attributes)

    @property
    def spans(self) -> list[Span]:
        """All spans in the order of their starts, a root first."""
        resources = [spans for request in self.requests for spans in request.resource_spans]
        spans = [span for each in resources for scope in each.scope_spans for span in scope.spans]
        return sorted(spans, key=lambda span: (span.start_time_unix_nano, span.name in STAGES))


@pytest.fixture
def collector() -> Collector:
    return Collector()


@asynccontextmanager
async def traced_server(collector: Collector, engine: FakeEngine, **settings: object) -> AsyncIterator[str]:
    """A server that has sent all its spans to `collector` when the context ends."""
    app = web.Application()
    app.router.add_post("/v1/traces", collector.receive)
    async with (
        serving(app) as to,
        serving(
            await make_app(Settings.load(otlp_endpoint=f"http://{to}/", **settings), engine.model, engine)
        ) as address,
    ):
        yield address


def attributes(span: Span) -> dict[str, object]:
    values = {each.key: each.value for each in span.attributes}
    return {key: getattr(value, str(value.WhichOneof("value"))) for key, value in values.items()}


async def test_context_has_a_span_for_each_stage(collector: Collector, engine: FakeEngine) -> None:
    async with traced_server(collector, engine) as address, connected_client(address) as client:
        await client.speak("Hello secret there.", traceparent=SAMPLED, format="pcm", voice="bob")
        await client.receive_until("done")
    root, *stages = collector.spans
    assert root.name == "context"
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    assert sorted(span.name for span in stages) == sorted(STAGES)
    by_name = {span.name: span for span in stages}
    for span in stages:
        assert (span.trace_id, span.parent_span_id) == (root.trace_id, root.span_id)
        assert span.start_time_unix_nano <= span.end_time_unix_nano
    for earlier, later in (("prefill", "codec"), ("codec", "encode"), ("encode", "send")):
        assert by_name[later].start_time_unix_nano == by_name[earlier].end_time_unix_nano
    values = attributes(root)
    assert values["sayline.outcome"] == "done"
    assert (values["sayline.voice"], values["sayline.key"], values["sayline.chars"]) == ("bob", "anonymous", 19)
    assert values["sayline.generated_ms"] == 480
    assert not any("secret" in str(value) for span in collector.spans for value in attributes(span).values())
    assert collector.resource["service.name"] == "sayline"


async def test_environment_names_the_service(
    collector: Collector, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "phones")
    async with traced_server(collector, engine) as address, connected_client(address) as client:
        await client.speak("Hi.")
        await client.receive_until("done")
    assert collector.resource["service.name"] == "phones"


async def test_handshake_names_the_trace_of_all_contexts(collector: Collector, engine: FakeEngine) -> None:
    headers = {"traceparent": SAMPLED}
    async with traced_server(collector, engine) as to, connected_client(to, additional_headers=headers) as client:
        await client.speak("Hi.", "one")
        await client.speak("Hi.", "two")
        await client.receive_until_final("one", "two")
    roots = [span for span in collector.spans if span.name == "context"]
    assert [span.trace_id.hex() for span in roots] == [TRACE_ID] * 2


@pytest.mark.parametrize("traceparent", [None, "nonsense"])
async def test_caller_without_a_trace_gets_one(
    collector: Collector, engine: FakeEngine, traceparent: str | None
) -> None:
    async with traced_server(collector, engine) as address:
        headers = {"traceparent": traceparent} if traceparent else {}
        async with aiohttp.ClientSession() as client:
            body = {"text": "Hello there.", "format": "pcm"}
            async with client.post(f"http://{address}/generate", json=body, headers=headers) as response:
                assert response.status == 200
    root, *stages = collector.spans
    assert (root.name, root.parent_span_id, attributes(root)["sayline.outcome"]) == ("POST /generate", b"", "done")
    assert sorted(span.name for span in stages) == sorted(STAGES)


async def test_callers_decision_not_to_sample_holds(collector: Collector, engine: FakeEngine) -> None:
    async with traced_server(collector, engine) as address, connected_client(address) as client:
        await client.speak("Hi.", traceparent=UNSAMPLED)
        await client.receive_until("done")
    assert not collector.requests


@pytest.mark.parametrize("traceparent", [SAMPLED, UNSAMPLED])
def test_logs_use_the_callers_trace_even_if_it_is_recorded_elsewhere(traceparent: str) -> None:
    assert tracing.log_id(None, traceparent) == TRACE_ID


@pytest.mark.parametrize("traceparent", [None, "nonsense", f"00-{'0' * 32}-{PARENT_ID}-01"])
def test_logs_get_an_id_for_an_utterance_without_a_trace(traceparent: str | None) -> None:
    first, second = (tracing.log_id(None, traceparent) for _ in range(2))
    assert first != second
    assert {len(first), len(second)} == {32}


async def test_context_without_speech_has_a_root_alone(collector: Collector, engine: FakeEngine) -> None:
    async with traced_server(collector, engine) as address, connected_client(address) as client:
        await client.speak("...", voice="nobody", traceparent=SAMPLED)
        await client.receive_until("error")
    (root,) = collector.spans
    assert root.status.code == Status.STATUS_CODE_ERROR
    assert "sayline.voice" not in attributes(root)


async def test_replayed_speech_has_no_steps(collector: Collector, engine: FakeEngine) -> None:
    async with traced_server(collector, engine) as address, connected_client(address) as client:
        for name in ("first", "again"):
            await client.speak("Hello there.", name, seed=1, cache=True)
            await client.receive_until("done")
    first, again = (span for span in collector.spans if span.name == "context")
    assert [attributes(span)["sayline.replayed"] for span in (first, again)] == [False, True]
    assert {span.name for span in collector.spans if span.parent_span_id == again.span_id} == {"text"}


async def test_first_audio_of_a_trace_is_an_exemplar(collector: Collector, engine: FakeEngine) -> None:
    async with traced_server(collector, engine) as address:
        async with connected_client(address) as client:
            await client.speak("Hi.", traceparent=SAMPLED)
            await client.receive_until("done")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{address}/metrics", headers=OPEN_METRICS) as response:
                assert response.headers["Content-Type"].startswith("application/openmetrics-text")
                assert f'# {{trace_id="{TRACE_ID}"}}' in await response.text()
            async with session.get(f"http://{address}/metrics") as response:
                assert response.headers["Content-Type"].startswith("text/plain")
                assert TRACE_ID not in await response.text()


async def test_tracing_is_off_by_default() -> None:
    assert Tracing.to_endpoint(Settings().otlp_endpoint, "1").start("context", SAMPLED) is None


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"sayline\[tracing\]"):
        Tracing.to_endpoint("http://localhost:4318", "1")


async def test_collector_that_is_down_disturbs_nobody(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "CLOSE_S", 0.1)
    settings = Settings.load(otlp_endpoint="http://127.0.0.1:9")
    async with serving(await make_app(settings, engine.model, engine)) as address:
        async with connected_client(address) as client:
            await client.speak("Hi.", traceparent=SAMPLED)
            await asyncio.wait_for(client.receive_until("done"), 10)
        closing_from_s = time.monotonic()
    assert time.monotonic() - closing_from_s < 3  # its retries would go on for 10 s
