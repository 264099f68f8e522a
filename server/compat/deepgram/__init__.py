"""Deepgram's text-to-speech: the sockets of Aura (v1) and Flux (v2), and one text over HTTP."""
