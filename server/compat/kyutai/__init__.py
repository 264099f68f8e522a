"""Kyutai's text-to-speech server of unmute: a socket for one utterance, and HTTP."""
