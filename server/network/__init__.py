"""Accepted connections: how many there may be, how long they may take to send a request, and their frames."""
