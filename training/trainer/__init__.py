"""The training loop: checkpoints, schedules, weight averaging."""
