from sayline.stopwatch import Stopwatch


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_first_audio_is_measured_from_the_end_of_the_first_segment() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    for at_s, text in [(100.0, "Hello "), (101.0, "there."), (102.0, " And more")]:
        clock.now_s = at_s
        watch.sent(text)
    clock.now_s = 102.5
    watch.received(80)
    clock.now_s = 103.0
    watch.received(80)
    watch.segment(12)
    watch.sent(" later")
    watch.segment(21)
    assert watch.first_audio_s == 1.5
    assert watch.total_s == 3.0
    assert watch.summary() == "0.16 s of speech, first audio after 1500 ms, all of it in 3.00 s (0.1 x real time)"


def test_no_speech_gives_no_times() -> None:
    watch = Stopwatch(Clock())
    watch.segment(5)
    watch.sent("Hello")
    assert (watch.first_audio_s, watch.total_s) == (None, 0.0)
    assert watch.summary() == "0.00 s of speech"


def test_segment_beyond_the_sent_text_counts_from_the_last_text() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    watch.sent("3")
    clock.now_s += 0.25
    watch.received(80)
    watch.segment(5)
    assert watch.first_audio_s == 0.25
