"""Train the Mimi-style codec: latents, decoder, encoder."""
