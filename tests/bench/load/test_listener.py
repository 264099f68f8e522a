from sayline_tts.bench.load.listener import Listener, Stall


def test_who_gets_each_packet_in_time_never_runs_dry() -> None:
    listener = Listener()
    for number in range(5):
        assert not listener.on_audio(1000 + 79 * number, 80)
    assert listener.stalls == []
    assert listener.plays_until_ms == 1000 + 5 * 80


def test_play_begins_with_the_first_packet_however_late_it_is() -> None:
    listener = Listener()
    assert not listener.on_audio(99_999, 80)
    assert listener.stalls == []


def test_a_late_packet_is_an_underrun_of_the_time_it_was_late() -> None:
    listener = Listener()
    listener.on_audio(0, 80)
    assert listener.on_audio(130, 80)
    assert listener.stalls == [Stall(80, 50)]


def test_a_stall_moves_what_follows_so_one_delay_counts_once() -> None:
    listener = Listener()
    for at_ms in (0, 130, 210, 290):
        listener.on_audio(at_ms, 80)
    assert listener.stalls == [Stall(80, 50)]
    assert listener.margins_ms == [-50, 0, 0]


def test_a_burst_is_played_from_what_waits() -> None:
    listener = Listener()
    for at_ms in (0, 1, 2, 239):
        listener.on_audio(at_ms, 80)
    assert listener.stalls == []
    assert listener.margins_ms[-1] == 1


def test_who_still_waits_at_the_end_has_run_dry() -> None:
    listener = Listener()
    listener.on_audio(0, 80)
    listener.cut(100)
    assert listener.stalls == [Stall(80, 20)]


def test_who_has_enough_at_the_end_or_never_heard_anything_has_not() -> None:
    listener = Listener()
    listener.cut(100)
    listener.on_audio(100, 80)
    listener.cut(150)
    assert listener.stalls == []
