"""Text normalization: verbalize numbers, dates, symbols and abbreviations, by language."""
