"""Voices by name: those that come along and those that people made."""
