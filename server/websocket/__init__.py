"""The door for text that is still being written: sessions and their contexts."""
