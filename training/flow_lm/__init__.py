"""Train FlowLM, from scratch or from a published checkpoint."""
