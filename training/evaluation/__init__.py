"""Measure the embedded voice: word errors, speakers, spectra, word times."""
