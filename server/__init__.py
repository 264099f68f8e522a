"""Sayline's server: sessions, contexts and the native protocol around the engine."""
