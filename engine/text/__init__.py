"""Turn a stream of written text into chunks that the model can speak."""
