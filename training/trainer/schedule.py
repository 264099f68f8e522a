"""Trapezoidal learning rate schedule: warmup, constant, decay. A run can thus be shortened or extended."""

from torch.optim import Optimizer

WARMUP_STEPS = 200
DECAY_RATIO = 0.2  # of all steps
MIN_RATE_RATIO = 0.02  # of the peak rate


def set_learning_rate(
    optimizer: Optimizer, rate: float, step: int, steps: int, decay_ratio: float = DECAY_RATIO
) -> None:
    """Set the learning rate for a step of `steps`; `rate` is the peak."""
    warmup = (step + 1) / WARMUP_STEPS
    decay = (steps - step) / (steps * decay_ratio)
    for group in optimizer.param_groups:
        group["lr"] = rate * max(MIN_RATE_RATIO, min(1.0, warmup, decay))
