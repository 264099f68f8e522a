import pytest

from sayline_tts.bench.reference.ramp import confirm_most, find_most, step


class Answers:
    """Holds up to `limit`; remembers what it was asked."""

    def __init__(self, limit: int) -> None:
        self.limit, self.asked = limit, list[int]()

    async def __call__(self, listeners: int) -> bool:
        self.asked.append(listeners)
        return listeners <= self.limit


@pytest.mark.parametrize("limit", [0, 1, 2, 7, 24, 40, 180, 256])
@pytest.mark.parametrize("guess", [1, 8, 40, 256])
async def test_bisection_comes_near_from_any_guess(limit: int, guess: int) -> None:
    answers = Answers(limit)
    found = await find_most(answers, guess, 256)
    assert limit - step(limit) <= found <= limit
    assert len(answers.asked) == len(set(answers.asked)) < 20
    assert all(1 <= listeners <= 256 for listeners in answers.asked)


@pytest.mark.parametrize(("limit", "guess"), [(0, 3), (1, 1), (5, 5), (6, 5), (4, 5), (40, 43), (256, 255), (9, 0)])
async def test_a_good_guess_is_corrected_step_by_step(limit: int, guess: int) -> None:
    answers = Answers(limit)
    found = await confirm_most(answers, guess, 256)
    assert found == (limit if guess else 0)
    assert len(answers.asked) <= abs(limit - guess) + 2
