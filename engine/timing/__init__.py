"""Word timestamps, from attention alignment or by estimate."""
