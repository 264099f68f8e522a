"""Load and write checkpoints in the published format."""
