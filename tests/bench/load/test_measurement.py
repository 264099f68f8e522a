import pytest

from sayline_tts.bench.load.measurement import Measurement, Window
from sayline_tts.bench.load.process import Usage
from sayline_tts.bench.load.stream import Outcome, Stream, Wish
from tests.bench.fakes import heard

WINDOW = Window(1000, 3000)
SMOOTH = [1100 + 80.0 * number for number in range(10)]


def measure(*streams: Stream, refusals: tuple[str, ...] = (), used: Usage | None = None) -> Measurement:
    return Measurement.of(streams, refusals, WINDOW, 2, used or Usage(None, 0.1), [1.0, 3.0])


def test_first_audio_counts_for_texts_that_were_sent_in_the_window() -> None:
    seen = measure(heard([990], asked_ms=900), heard([1100], asked_ms=1050), heard([3050], asked_ms=2990))
    assert seen.ttfa_ms is not None
    assert (seen.ttfa_ms.p50, seen.ttfa_ms.most, seen.ttfa_ms.count) == (50, 60, 2)


def test_who_never_heard_anything_counts_with_the_time_he_waited() -> None:
    waiting = heard([], asked_ms=1200, over=False)
    seen = measure(waiting, heard(SMOOTH, asked_ms=1090))
    assert seen.unanswered == 1
    assert seen.ttfa_ms is not None
    assert seen.ttfa_ms.most == 1800
    assert not seen.supplied


def test_underruns_count_by_listener_and_only_in_the_window() -> None:
    seen = measure(
        heard([100, 500, *SMOOTH], number=0, over=False),
        heard([1100, 1300, 1500], number=1),
        heard([*SMOOTH, 2900], number=2),
    )
    assert (seen.heard, seen.without_underrun, seen.underruns) == (3, 0, 4)
    assert seen.longest_stall_ms == pytest.approx(1000)


def test_a_listener_is_one_however_many_texts_he_hears() -> None:
    seen = measure(heard(SMOOTH, number=4), heard([2000.0, 2010.0], number=4))
    assert (seen.heard, seen.without_underrun) == (1, 1)
    assert seen.supplied


def test_cpu_is_for_a_second_of_audio_that_arrived_in_the_window() -> None:
    seen = measure(heard([960.0, 1040.0, 1120.0]), used=Usage(0.032, 0.2))
    assert seen.audio_s == pytest.approx(0.16)
    assert seen.server_cpu_ms_per_audio_s == pytest.approx(200)
    assert seen.server_cores == pytest.approx(0.016)
    assert seen.generator_cores == pytest.approx(0.1)


def test_the_cpu_of_a_server_elsewhere_is_not_known() -> None:
    assert measure(heard(SMOOTH)).server_cpu_ms_per_audio_s is None


def test_a_rejected_text_is_a_reject_and_nothing_else() -> None:
    turned_away = Stream(Wish("hello"), 1)
    turned_away.asked_ms = 1500
    turned_away.end(Outcome.REJECTED, "full")
    seen = measure(turned_away, heard(SMOOTH, asked_ms=1090))
    assert (seen.rejects, seen.streams, seen.unanswered, seen.errors) == (1, 1, 0, {})
    assert not seen.supplied


def test_errors_are_counted_by_what_was_said() -> None:
    failed = Stream(Wish("hello"), 1)
    failed.end(Outcome.FAILED, "internal: no")
    assert measure(failed, refusals=("no server", "no server")).errors == {"internal: no": 1, "no server": 2}


def test_the_target_is_for_95_percent() -> None:
    seen = measure(*(heard([1060.0], asked_ms=1000.0) for _ in range(19)), heard([2500.0], asked_ms=1000.0))
    assert seen.holds(60)
    assert not seen.holds(59)


def test_in_short_it_names_what_was_wrong() -> None:
    told = measure(heard([1100, 1300], asked_ms=1090), refusals=("no server",)).in_short()
    assert told == "first audio p95 10 ms, 1 underruns, longest 120 ms, errors: no server"
