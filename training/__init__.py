"""How the embedded voice is made: text, speech, codec, FlowLM, export, evaluation. Not needed to serve."""
