"""ElevenLabs' text-to-speech: sockets with one and with several contexts, and HTTP endpoints."""
