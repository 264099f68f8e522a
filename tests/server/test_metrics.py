"""What is counted comes out where Prometheus reads it."""

import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sayline_tts.server.metrics import ANONYMOUS, MOST_VALUES, OTHER, WATCHED, Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == f"sayline_{name}" and sample.labels == labels:
                return sample.value
    raise AssertionError(f"there is no {name} {labels}")


def test_every_happening_is_counted_in_seconds() -> None:
    metrics = Metrics()
    metrics.on_first_audio(90)
    metrics.on_frame_sent(lead_ms=300)
    metrics.on_frame_sent()
    metrics.on_underrun(250)
    metrics.on_step(6, 30, joining=True)
    metrics.on_step(3, 20)
    metrics.on_encoded(0.33)
    metrics.on_reject("full", "shop")
    metrics.on_cancelled(1_500)
    metrics.on_context("shop")
    metrics.on_chars(12, "shop")
    metrics.on_spoken(2_000, "shop")
    metrics.on_over("done")
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


@pytest.mark.parametrize("name", WATCHED)
def test_what_is_watched_is_looked_up_when_somebody_asks(name: str) -> None:
    metrics, here = Metrics(), [3]
    metrics.watch(**{name: lambda: here[0]})
    assert value(metrics, name) == 3
    here[0] = 4
    assert value(metrics, name) == 4


def test_nobody_can_make_series_without_end() -> None:
    metrics = Metrics()
    for number in range(MOST_VALUES + 50):
        metrics.on_context(f"key {number}")
    assert metrics.render().count(b"sayline_key_contexts_total{") == MOST_VALUES + 1
    assert value(metrics, "key_contexts_total", key=OTHER) == 50
    metrics.on_context("key 3")
    assert value(metrics, "key_contexts_total", key="key 3") == 2


def test_who_has_no_key_is_anonymous() -> None:
    metrics = Metrics()
    metrics.on_context()
    assert value(metrics, "key_contexts_total", key=ANONYMOUS) == 1


def test_two_servers_in_one_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.on_over("done")
    assert b"outcome" not in other.render()


def test_threads_may_count_at_once() -> None:
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


def test_the_process_tells_its_memory_and_descriptors() -> None:
    text = Metrics().render()
    assert b"process_resident_memory_bytes" in text
    assert b"process_open_fds" in text
