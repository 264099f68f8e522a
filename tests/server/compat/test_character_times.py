"""Times of characters of a text that arrives in pieces."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.server.compat.character_times import SHARE, CharacterTimes


def chars(times: CharacterTimes) -> str:
    return "".join(each.char for each in times.take())


def test_a_word_is_followed_by_its_space_at_once() -> None:
    times = CharacterTimes()
    times.push("One two")
    times.on_word(0, 3, 0, 90 / SHARE)
    taken = times.take()
    assert [(each.char, round(each.start_ms), round(each.end_ms)) for each in taken] == [
        ("O", 0, 30),
        ("n", 30, 60),
        ("e", 60, 90),
        (" ", 90, 90),
    ]
    assert not times.take()


def test_a_word_whose_predecessor_was_predicted_too_long_begins_when_it_does() -> None:
    times = CharacterTimes()
    times.push("One two")
    times.on_word(0, 3, 0, 400)
    times.on_word(4, 7, 300, 500)
    assert next(each for each in times.take() if each.char == "t").start_ms == 300


def test_the_end_of_the_text_stands_for_a_space_which_is_not_repeated() -> None:
    times = CharacterTimes()
    times.push("One.")
    times.on_word(0, 4, 0, 80)
    assert chars(times) == "One. "
    times.push(" Two.")
    times.on_word(5, 9, 100, 180)
    assert chars(times) == "Two. "


def test_marks_behind_a_word_come_with_the_next_one_or_with_its_segment() -> None:
    times = CharacterTimes()
    times.push("**One** a-b!)")
    times.on_word(2, 5, 0, 30)
    assert chars(times) == "**One"
    times.on_word(8, 9, 50, 60)
    assert chars(times) == "** a"
    times.on_word(10, 11, 60, 70)
    assert chars(times) == "-b"
    times.on_spoken()
    assert chars(times) == "!) "
    times.on_spoken()
    assert not chars(times)


def test_a_segment_that_ends_within_letters_takes_none_of_the_next_word() -> None:
    times = CharacterTimes()
    times.push("Hello\u2014world")
    times.on_word(0, 5, 0, 50)
    times.on_spoken()
    assert chars(times) == "Hello\u2014"
    times.on_word(6, 11, 60, 110)
    assert chars(times) == "world "


@given(
    st.lists(st.tuples(st.text("ab$5,.*", min_size=1), st.sampled_from([" ", "  ", "\n", ""])), min_size=1), st.data()
)
def test_all_text_is_timed_once_and_in_order(parts: list[tuple[str, str]], data: st.DataObject) -> None:
    text = "".join(word + space for word, space in parts)
    times, at, at_ms, pushed, found = CharacterTimes(), 0, 0.0, 0, []
    for word, space in parts:
        end = at + len(word)
        cut = data.draw(st.integers(max(end, pushed), len(text)))
        times.push(text[pushed:cut])
        pushed = cut
        times.on_word(at, end, at_ms, at_ms + 50)
        if data.draw(st.booleans()):
            times.on_spoken()
        found += times.take()
        at, at_ms = end + len(space), at_ms + data.draw(st.integers(20, 90))
    assert "".join(each.char for each in found).split() == text.split() or "" in [space for _, space in parts]
    assert all(a.start_ms <= b.start_ms and a.start_ms <= a.end_ms for a, b in pairwise(found))
    assert all(found)
