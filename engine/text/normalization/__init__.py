"""Text normalization: the spoken form of numbers, dates, symbols and abbreviations, by language."""
