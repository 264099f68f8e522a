"""How the learning rate goes: up, long the same, down at the end. So a run may be stopped early or made longer."""

from torch.optim import Optimizer

WARM_UP_STEPS = 200
FALLING_SHARE = 0.2  # of all steps
LEAST_SHARE = 0.02  # of the rate


def set_rate(optimizer: Optimizer, rate: float, step: int, steps: int, falling_share: float = FALLING_SHARE) -> None:
    rising = (step + 1) / WARM_UP_STEPS
    falling = (steps - step) / (steps * falling_share)
    for group in optimizer.param_groups:
        group["lr"] = rate * max(LEAST_SHARE, min(1.0, rising, falling))
