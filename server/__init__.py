"""Sayline's server: HTTP and WebSocket APIs around the engine, and its commands."""
