"""The doors for whole requests."""
