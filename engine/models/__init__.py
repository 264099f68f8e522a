"""FlowLM and Mimi: layers, per-slot streaming state, voices, the loaded model."""
