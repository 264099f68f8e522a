"""LaTeX formulas: their limits in a stream, and their plain form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayline_tts.engine.text.chunk import TextChunk, Word
from sayline_tts.engine.text.latex import MAX_FORMULA_CHARS, is_formula, is_formula_prefix, plain_pieces
from sayline_tts.engine.text.reader import Reader


def plain(formula: str) -> str:
    return " ".join("".join(text for text, _ in plain_pieces(formula)).split())


def words(text: str, step: int = 1000) -> list[Word]:
    reader = Reader(lambda spoken: len(spoken.split()))
    chunks = [chunk for at in range(0, len(text), step) for chunk in reader.push(text[at : at + step])]
    return [word for chunk in [*chunks, *reader.flush()] if isinstance(chunk, TextChunk) for word in chunk.words]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"$x$", "x"),
        (r"$\frac{a}{b}$", "a ∕ b"),
        (r"$\frac12$", "12"),  # no braces: not taken apart
        (r"$\frac{1}{2}$", "1/2"),
        (r"$\frac{\frac{1}{x}}{2}$", "1 ∕ x ∕ 2"),
        (r"$x^2 + y^{3}$", "x² + y³"),
        (r"$x^{23}$", "x ↑ 23"),
        (r"$\sum_{i=1}^n i$", "∑ i = 1 → n i"),
        (r"$-5 - -6$", "-5 − -6"),
        (r"$a \, b~c\quad d$", "a b c d"),
        (r"$\Delta x \lambda \varepsilon$", "Δ x λ ε"),
        (r"$\sin x$", "sin∙∘ x"),
        (r"$\sin$", "sin∙"),
        (r"$(\sin)$", "( sin∙ )"),
        (r"$\cos^2 x$", "cos∙²∘ x"),
        (r"$\cos^{2}x$", "cos∙²∘ x"),
        (r"$\cos^{n} x$", "cos∙ ↑ n∘ x"),
        (r"$\log_{10} x$", "log∙∙ 10∘ x"),
        (r"$\log_{a_{1}} x$", "log∙∙ a 1∘ x"),
        (r"$\log_{a x$", "log∙∙ a x"),
        (r"$\log_$", "log∙∙"),
        (r"$f'(x) = 5\%$", "f'(x) = 5%"),
        (r"$\begin{cases} a \\ b \end{cases}$", "cases a , b cases"),
        (r"$}{ }$", ""),
        (r"$^$", "↑"),
        (r"$\sum x^n$", "∑ x ↑ n"),
        ("\\[\nx\n\\]", "x"),
    ],
)
def test_plain_form(formula: str, expected: str) -> None:
    assert plain(formula) == expected


@given(st.text("x\\frac{}^_ 12-+sqt", min_size=1, max_size=60))
def test_sources_of_the_pieces_are_the_formula(body: str) -> None:
    formula = f"${body}$"
    assert "".join(source for _, source in plain_pieces(formula)) == formula


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_words_have_their_places_in_the_source(step: int) -> None:
    text = r"So $3x + \frac{a}{b} \leq 10$, right?"
    found = words(text, step)
    assert [(word.text, word.spoken) for word in found] == [
        ("So", "So"),
        ("3x", "three x"),
        ("+", "plus"),
        ("a", "a"),
        ("}", "over"),
        ("b", "b"),
        (r"\leq", "at most"),
        ("10", "ten,"),
        ("right?", "right?"),
    ]
    assert all(text[word.start : word.end] == word.text for word in found)


@pytest.mark.parametrize(
    "text", ["$5 an", "$ 5", "$5.00) for", "$HOME is the", "$x\n\n", "x", "$" + "x" * MAX_FORMULA_CHARS]
)
def test_what_cannot_become_a_formula_is_not_held_back(text: str) -> None:
    assert not is_formula_prefix(text)


@pytest.mark.parametrize("text", ["$", "$5", "$5 ", "$3 + 4", "\\", r"\[ the area of", "$$", r"$\text{the area} ="])
def test_what_may_become_a_formula_is_held_back(text: str) -> None:
    assert is_formula_prefix(text)
    assert not is_formula(text)


@pytest.mark.parametrize("text", ["$$", "$ $", "$x $", r"\(\)", "$$x$", "x$"])
def test_incomplete_and_empty_formulas_are_none(text: str) -> None:
    assert not is_formula(text)


def test_amount_is_spoken_at_the_next_word() -> None:
    reader = Reader(lambda spoken: len(spoken.split()))
    assert [*reader.push("It costs $5. The other one is free. ")] != []


def test_unclosed_formula_is_read_as_text_at_the_end() -> None:
    assert [word.spoken for word in words("so $x + 1")] == ["so", "dollars x", "plus", "one"]
