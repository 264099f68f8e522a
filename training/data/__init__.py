"""Training data: sentences, synthesized speech, subwords, spectra."""
