"""The guard: recognise faults of speech before they are heard, and have the frames made again."""
