"""LiveKit Inference's text-to-speech, which LiveKit's agents use where they are given no plugin."""
