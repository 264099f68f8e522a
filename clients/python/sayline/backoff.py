"""How long to wait before the next try, so that many who lost the same server do not all come back at once."""

import random
from collections.abc import Iterator

FIRST_S = 0.1
MAX_S = 4.0


def delays_s() -> Iterator[float]:
    """By chance, between nothing and a limit that doubles. Without end."""
    limit_s = FIRST_S
    while True:
        yield random.uniform(0, limit_s)
        limit_s = min(2 * limit_s, MAX_S)
