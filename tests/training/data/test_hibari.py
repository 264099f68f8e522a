"""Phones and their times from the synthesizer's network."""

from importlib.util import find_spec

import numpy as np
import pytest

if missing := [name for name in ("hibari", "onnx", "onnxruntime") if not find_spec(name)]:
    pytest.skip(f"needs the extra `teachers`: {', '.join(missing)} missing", allow_module_level=True)

from training.data.hibari import FRAME_S, FRAME_SAMPLES, Hibari, phones_of
from training.data.phones import PHONES
from training.data.speakers import WordMismatchError

LOUD, QUIET = 0.0, -10.0


def test_stress_mark_belongs_to_the_next_phone() -> None:
    phones = phones_of([" ", "ˈ", "A", " "], [-1, 0, 0, -1], np.array([8, 2, 4, 8]), np.full(22, LOUD))
    assert [(phone.name, phone.end_s, phone.word) for phone in phones] == [
        ("pau", 8 * FRAME_S, -1), ("ey", 14 * FRAME_S, 0), ("pau", 22 * FRAME_S, -1),
    ]  # fmt: skip


def test_short_blank_belongs_to_the_previous_phone() -> None:
    phones = phones_of(["s", " ", "t"], [0, 0, 1], np.array([4, 2, 4]), np.full(10, LOUD))
    assert [(phone.name, phone.end_s) for phone in phones] == [("s", 6 * FRAME_S), ("t", 10 * FRAME_S)]


def test_pause_at_the_end_of_a_phone_is_split_off() -> None:
    level = np.array([LOUD] * 4 + [QUIET] * 10 + [LOUD] * 4)
    phones = phones_of(["s", ",", "t"], [0, 0, 1], np.array([14, 0, 4]), level)
    assert [(phone.name, phone.end_s) for phone in phones] == [
        ("s", 4 * FRAME_S), ("pau", 14 * FRAME_S), ("t", 18 * FRAME_S),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def synthesizer() -> Hibari:
    return Hibari()


def test_phones_cover_the_audio(synthesizer: Hibari) -> None:
    parameters = synthesizer.parameters("Twenty-two yellow boats, isn't it?")
    audio = parameters.synthesize(seed=0)
    phones = parameters.phones(audio)
    assert phones[-1].end_s == pytest.approx(len(parameters.pitch_hz) * FRAME_S)
    assert {phone.name for phone in phones} <= set(PHONES)
    assert {phone.word for phone in phones} == {-1, 0, 1, 2, 3, 4}
    assert len(audio) == len(parameters.pitch_hz) * FRAME_SAMPLES


def test_phones_are_where_they_are_heard(synthesizer: Hibari) -> None:
    """Plosives are quiet before they burst, and a text ends with its last sound."""
    parameters = synthesizer.parameters("Keep the cat out of it.")
    audio = parameters.synthesize(seed=0)
    level = np.abs(audio).reshape(-1, FRAME_SAMPLES).max(1)
    ends = [round(phone.end_s / FRAME_S) for phone in parameters.phones(audio)]
    names = [phone.name for phone in parameters.phones(audio)]
    first_vowel = slice(ends[1], ends[2])
    assert names[:4] == ["pau", "k", "iy", "p"]
    assert level[first_vowel].mean() > 3 * level[ends[2] : ends[3]].min()
    assert level[ends[-2] :].max() < 0.1 * level.max(), "sound after the last phone"
    assert ends[-2] - ends[-3] < 0.2 / FRAME_S, "the last phone contains the silence after it"


def test_text_with_a_word_without_phonemes_is_rejected(synthesizer: Hibari) -> None:
    with pytest.raises(WordMismatchError):
        synthesizer.parameters("Yes - no.")
