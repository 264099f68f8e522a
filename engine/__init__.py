"""Pocket TTS for many listeners at once: text in, frames of speech out. Knows no socket and no event loop."""
