from itertools import islice

from sayline.backoff import FIRST_S, MAX_S, delays_s


def test_delays_are_by_chance_below_a_limit_that_doubles() -> None:
    runs = [list(islice(delays_s(), 12)) for _ in range(50)]
    for number, limit_s in enumerate([FIRST_S * 2**n for n in range(12)]):
        delays = [run[number] for run in runs]
        assert 0 <= min(delays) < max(delays) <= min(limit_s, MAX_S)
