"""Find, download and read model checkpoints: config, catalogue, safetensors, the embedded checkpoint."""
