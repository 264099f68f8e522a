"""Engines placed by Ray: it starts them where there is room and restarts what dies; audio never passes through it."""
