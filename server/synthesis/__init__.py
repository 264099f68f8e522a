"""What drives the engine and tells each listener what happened; knows no wire."""
