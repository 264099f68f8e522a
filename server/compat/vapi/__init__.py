"""Vapi's custom voice, over HTTP."""
