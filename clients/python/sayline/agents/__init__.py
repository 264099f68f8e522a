"""Sayline as the voice of agent frameworks. Each module needs its framework: `sayline-client[pipecat]`, `[livekit]`."""
