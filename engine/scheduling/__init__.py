"""Admission control and scheduling: which rows run in which step, and what a step costs."""
