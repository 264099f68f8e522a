"""Stored lexicons: how each key wants words to be said."""
