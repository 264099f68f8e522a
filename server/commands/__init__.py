"""The server's subcommands, one file each. Slow imports are inside functions, so that `--help` is fast."""
