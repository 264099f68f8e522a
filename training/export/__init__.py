"""Load and export checkpoints in the published format."""
