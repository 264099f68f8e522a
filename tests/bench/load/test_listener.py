from sayline_tts.bench.load.listener import Listener, Stall


def test_packets_in_time_cause_no_underrun() -> None:
    listener = Listener()
    for number in range(5):
        assert not listener.on_audio(1000 + 79 * number, 80)
    assert listener.stalls == []
    assert listener.plays_until_ms == 1000 + 5 * 80


def test_playback_starts_with_the_first_packet() -> None:
    listener = Listener()
    assert not listener.on_audio(99_999, 80)
    assert listener.stalls == []


def test_late_packet_is_an_underrun_of_its_lateness() -> None:
    listener = Listener()
    listener.on_audio(0, 80)
    assert listener.on_audio(130, 80)
    assert listener.stalls == [Stall(80, 50)]


def test_stall_shifts_playback_so_a_delay_counts_once() -> None:
    listener = Listener()
    for at_ms in (0, 130, 210, 290):
        listener.on_audio(at_ms, 80)
    assert listener.stalls == [Stall(80, 50)]
    assert listener.margins_ms == [-50, 0, 0]


def test_burst_fills_the_buffer() -> None:
    listener = Listener()
    for at_ms in (0, 1, 2, 239):
        listener.on_audio(at_ms, 80)
    assert listener.stalls == []
    assert listener.margins_ms[-1] == 1


def test_waiting_at_the_end_is_an_underrun() -> None:
    listener = Listener()
    listener.on_audio(0, 80)
    listener.cut(100)
    assert listener.stalls == [Stall(80, 20)]


def test_no_underrun_at_the_end_with_audio_left_or_without_any_audio() -> None:
    listener = Listener()
    listener.cut(100)
    listener.on_audio(100, 80)
    listener.cut(150)
    assert listener.stalls == []
