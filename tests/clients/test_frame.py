import pytest
import sayline


def test_samples_that_nobody_could_decode_say_what_to_do() -> None:
    frame = sayline.Frame("a", 0, 0.0, None, b"packet")
    assert frame.packet == b"packet"
    with pytest.raises(sayline.SaylineError, match=r"needs libopus: pip install 'sayline-client\[opus\]'"):
        assert frame.pcm


def test_packets_that_nobody_asked_for_say_how_to() -> None:
    frame = sayline.Frame("a", 0, 0.0, b"samples")
    assert frame.pcm == b"samples"
    with pytest.raises(sayline.SaylineError, match=r'context\(format="opus"\)'):
        assert frame.packet


def test_a_frame_that_is_printed_shows_no_bytes() -> None:
    assert repr(sayline.Frame("a", 3, 240.0, b"samples")) == "Frame(context_id='a', seq=3, start_ms=240.0)"
