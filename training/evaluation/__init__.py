"""Evaluate a checkpoint: word error rates, speaker similarity, spectra, word timestamps."""
