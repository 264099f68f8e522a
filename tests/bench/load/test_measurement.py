import pytest

from sayline_tts.bench.load.measurement import Measurement, Window
from sayline_tts.bench.load.process import CpuUsage
from sayline_tts.bench.load.stream import Outcome, Request, Stream
from tests.bench.fakes import served

WINDOW = Window(1000, 3000)
SMOOTH = [1100 + 80.0 * number for number in range(10)]


def measure(*streams: Stream, refusals: tuple[str, ...] = (), used: CpuUsage | None = None) -> Measurement:
    return Measurement.of(streams, refusals, WINDOW, 2, used or CpuUsage(None, 0.1), [1.0, 3.0])


def test_first_audio_counts_for_texts_sent_in_the_window() -> None:
    seen = measure(served([990], sent_ms=900), served([1100], sent_ms=1050), served([3050], sent_ms=2990))
    assert seen.ttfa_ms is not None
    assert (seen.ttfa_ms.p50, seen.ttfa_ms.most, seen.ttfa_ms.count) == (50, 60, 2)


def test_unanswered_text_counts_with_its_waiting_time() -> None:
    waiting = served([], sent_ms=1200, over=False)
    seen = measure(waiting, served(SMOOTH, sent_ms=1090))
    assert seen.unanswered == 1
    assert seen.ttfa_ms is not None
    assert seen.ttfa_ms.most == 1800
    assert not seen.supplied


def test_underruns_count_per_listener_within_the_window() -> None:
    seen = measure(
        served([100, 500, *SMOOTH], number=0, over=False),
        served([1100, 1300, 1500], number=1),
        served([*SMOOTH, 2900], number=2),
    )
    assert (seen.served, seen.without_underrun, seen.underruns) == (3, 0, 4)
    assert seen.longest_stall_ms == pytest.approx(1000)


def test_listener_counts_once_for_all_its_texts() -> None:
    seen = measure(served(SMOOTH, number=4), served([2000.0, 2010.0], number=4))
    assert (seen.served, seen.without_underrun) == (1, 1)
    assert seen.supplied


def test_cpu_is_per_second_of_audio_received_in_the_window() -> None:
    seen = measure(served([960.0, 1040.0, 1120.0]), used=CpuUsage(0.032, 0.2))
    assert seen.audio_s == pytest.approx(0.16)
    assert seen.server_cpu_ms_per_audio_s == pytest.approx(200)
    assert seen.server_cores == pytest.approx(0.016)
    assert seen.generator_cores == pytest.approx(0.1)


def test_cpu_of_a_remote_server_is_unknown() -> None:
    assert measure(served(SMOOTH)).server_cpu_ms_per_audio_s is None


def test_rejected_text_counts_only_as_a_reject() -> None:
    turned_away = Stream(Request("hello"), 1)
    turned_away.sent_ms = 1500
    turned_away.end(Outcome.REJECTED, "full")
    seen = measure(turned_away, served(SMOOTH, sent_ms=1090))
    assert (seen.rejects, seen.streams, seen.unanswered, seen.errors) == (1, 1, 0, {})
    assert not seen.supplied


def test_errors_are_counted_by_message() -> None:
    failed = Stream(Request("hello"), 1)
    failed.end(Outcome.FAILED, "internal: no")
    assert measure(failed, refusals=("no server", "no server")).errors == {"internal: no": 1, "no server": 2}


def test_target_applies_to_the_95th_percentile() -> None:
    seen = measure(*(served([1060.0], sent_ms=1000.0) for _ in range(19)), served([2500.0], sent_ms=1000.0))
    assert seen.holds(60)
    assert not seen.holds(59)


def test_summary_names_what_went_wrong() -> None:
    told = measure(served([1100, 1300], sent_ms=1090), refusals=("no server",)).summary()
    assert told == "first audio p95 10 ms, 1 underruns, longest 120 ms, errors: no server"
