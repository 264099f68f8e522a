"""Train the Mimi-style codec: spectral autoencoder, latents, decoder, encoder."""
