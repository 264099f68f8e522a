"""Gradium's text-to-speech, and its open server Phonon's: a socket with one or several requests, and HTTP."""
