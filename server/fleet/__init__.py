"""Fronts and engines in processes of their own: the protocol between them, placement, death and drain."""
