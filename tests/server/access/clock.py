"""A simulated clock."""


class Clock:
    """Callable like `time.monotonic`; tests set `now_s`."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s
