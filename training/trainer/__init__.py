"""Shared by all trainings: runs with checkpoints and logs, schedule, weight averaging, precision, loss curves."""
