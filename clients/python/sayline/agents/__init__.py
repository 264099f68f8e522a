"""Adapters for voice agent frameworks. Each module needs its framework: `sayline-client[pipecat]`, `[livekit]`."""
