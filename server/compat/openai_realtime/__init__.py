"""OpenAI's Realtime API as a speaker: it says texts, and neither listens nor answers."""
