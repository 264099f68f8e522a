"""Kokoro-FastAPI's captions: OpenAI's speech request, answered by audio with the times of words."""
