import pytest
import sayline


def test_undecoded_frame_raises_with_advice() -> None:
    frame = sayline.Frame("a", 0, 0.0, None, b"packet")
    assert frame.packet == b"packet"
    with pytest.raises(sayline.SaylineError, match=r"needs libopus: pip install 'sayline-client\[opus\]'"):
        assert frame.pcm


def test_missing_packet_raises_with_advice() -> None:
    frame = sayline.Frame("a", 0, 0.0, b"samples")
    assert frame.pcm == b"samples"
    with pytest.raises(sayline.SaylineError, match=r'context\(format="opus"\)'):
        assert frame.packet


def test_repr_of_a_frame_omits_its_data() -> None:
    assert repr(sayline.Frame("a", 3, 240.0, b"samples")) == "Frame(context_id='a', seq=3, start_ms=240.0)"
