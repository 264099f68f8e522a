"""Text as it was written, by a person or a language model, becomes passages of words as a person would say them."""
