"""The commands that come with the server, one file each. Heavy imports stand inside functions: `--help` is fast."""
