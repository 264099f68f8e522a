"""HTTP endpoints: speech, voices, documentation and monitoring."""
