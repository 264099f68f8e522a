"""Values of metrics as rendered for Prometheus."""

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sayline_tts.server.metrics import ANONYMOUS, GAUGES, MAX_LABEL_VALUES, OTHER, Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        for sample in family.samples:
            if sample.name == f"sayline_{name}" and sample.labels == labels:
                return sample.value
    raise AssertionError(f"there is no {name} {labels}")


def test_events_are_recorded_in_base_units() -> None:
    metrics = Metrics()
    metrics.on_first_audio(90)
    metrics.on_frame_sent(lead_ms=300)
    metrics.on_frame_sent()
    metrics.on_underrun(250)
    metrics.on_step(6, 30, joining=True)
    metrics.on_step(3, 20)
    metrics.on_encoded(0.33)
    metrics.on_reject("full", "shop")
    metrics.on_audio_cancelled(1_500)
    metrics.on_context_start("shop")
    metrics.on_chars(12, "shop")
    metrics.on_audio_generated(2_000, "shop")
    metrics.on_context_end("done")
    metrics.on_faults(5, 2)
    assert value(metrics, "first_audio_seconds_sum") == 0.09
    assert value(metrics, "first_audio_seconds_bucket", le="0.1") == 1
    assert value(metrics, "frames_sent_total") == 2
    assert value(metrics, "lead_seconds_count") == 1
    assert (value(metrics, "underruns_total"), value(metrics, "underrun_seconds_total")) == (1, 0.25)
    assert value(metrics, "step_rows_sum", kind="join") == 6
    assert value(metrics, "step_seconds_sum", kind="go_on") == 0.02
    assert value(metrics, "encode_seconds_count", format="opus") == 1
    assert value(metrics, "rejects_total", code="full", key="shop") == 1
    assert value(metrics, "cancelled_audio_seconds_total") == 1.5
    assert value(metrics, "key_contexts_total", key="shop") == 1
    assert value(metrics, "key_chars_total", key="shop") == 12
    assert value(metrics, "key_audio_seconds_total", key="shop") == 2
    assert value(metrics, "contexts_over_total", outcome="done") == 1
    assert (value(metrics, "retried_frames_total"), value(metrics, "missed_words_total")) == (5, 2)


@pytest.mark.parametrize("name", GAUGES)
def test_gauges_are_read_at_each_scrape(name: str) -> None:
    metrics, here = Metrics(), [3]
    metrics.set_gauge_sources(**{name: lambda: here[0]})
    assert value(metrics, name) == 3
    here[0] = 4
    assert value(metrics, name) == 4


def test_number_of_label_values_is_limited() -> None:
    metrics = Metrics()
    for number in range(MAX_LABEL_VALUES + 50):
        metrics.on_context_start(f"key {number}")
    assert metrics.render()[0].count(b"sayline_key_contexts_total{") == MAX_LABEL_VALUES + 1
    assert value(metrics, "key_contexts_total", key=OTHER) == 50
    metrics.on_context_start("key 3")
    assert value(metrics, "key_contexts_total", key="key 3") == 2


def test_key_label_defaults_to_anonymous() -> None:
    metrics = Metrics()
    metrics.on_context_start()
    assert value(metrics, "key_contexts_total", key=ANONYMOUS) == 1


def test_two_registries_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.on_context_end("done")
    assert b"outcome" not in other.render()[0]


def test_counting_is_thread_safe() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(500):
            metrics.on_encoded(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(metrics, "encode_seconds_count", format="opus") == 2_000


def test_process_metrics_are_included() -> None:
    text = Metrics().render()[0]
    assert b"process_resident_memory_bytes" in text
    assert b"process_open_fds" in text


def test_process_tells_its_role() -> None:
    assert (
        value(Metrics(), "process_info", role="server") == value(Metrics("engine"), "process_info", role="engine") == 1
    )
