"""Capacity search and comparison with the reference implementation."""
