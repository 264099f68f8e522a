"""Train FlowLM, from scratch or from a published checkpoint, and fine-tune it to a new speaker."""
