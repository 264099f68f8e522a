"""Cartesia's text-to-speech: its WebSocket with contexts, and bytes and events over HTTP."""
