"""Runs the engine and delivers its output to listeners, independent of any network protocol."""
