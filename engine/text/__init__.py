"""Text processing: from streamed messages to chunks that the model can speak."""
