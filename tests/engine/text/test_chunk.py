from sayline_tts.engine.text.chunk import Word, longer


def words(text: str) -> list[Word]:
    found, start = [], 0
    for each in text.split():
        found.append(Word(each, start, start + len(each), each.lower()))
        start += len(each) + 1
    return found


def test_words_that_have_not_changed_stay_the_same_objects() -> None:
    old, new = words("It cost five"), words("It cost five million dollars")
    result = longer(old, new, 1)
    assert result == new
    assert [a is b for a, b in zip(old, result, strict=False)] == [True] * 3


def test_begun_words_keep_their_spoken_form_and_later_ones_take_the_new_one() -> None:
    old = [Word("Jan", 0, 3, "Jan"), Word("Jan", 4, 7, "Jan")]
    new = [Word("Jan", 0, 3, "January"), Word("Jan", 4, 7, "January"), Word("5", 8, 9, "fifth")]
    assert [word.spoken for word in longer(old, new, 1)] == ["Jan", "January", "fifth"]
    assert longer(old, new, 0) == new
