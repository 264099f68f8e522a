from hypothesis import given
from hypothesis import strategies as st
from sayline.unspoken import Unspoken


def test_only_letters_and_digits_count() -> None:
    unspoken = Unspoken()
    unspoken.add('"Hello,   there!"\n')
    assert unspoken.characters == len("HelloThere")


def test_what_was_spoken_no_longer_counts() -> None:
    unspoken = Unspoken()
    unspoken.add("hello there. how are you?")
    unspoken.spoken("Hello there.")
    assert unspoken.characters == len("howareyou")


def test_text_that_is_never_spoken_is_forgotten_with_the_next_segment() -> None:
    unspoken = Unspoken()
    unspoken.add("left out by the server. Spoken by the server. And more.")
    unspoken.spoken("Spoken by the server.")
    assert unspoken.characters == len("Andmore")


def test_a_short_word_is_not_looked_for_further_on() -> None:
    unspoken = Unspoken()
    unspoken.add("Yes. But then again, no. Oh!")
    unspoken.spoken("Yes.")
    unspoken.add(" Yes.")
    unspoken.spoken("No.")
    assert unspoken.characters == len("ButthenagainnoOhYes") - len("No")


@given(st.lists(st.text(), max_size=8))
def test_when_all_was_spoken_nothing_is_left(segments: list[str]) -> None:
    unspoken = Unspoken()
    unspoken.add("".join(segments))
    unspoken.spoken("".join(segments))
    assert unspoken.characters == 0
