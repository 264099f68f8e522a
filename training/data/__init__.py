"""Text and speech to train on."""
