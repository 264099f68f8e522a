"""Read and write audio: decode recordings, resample, stretch time, write WAV."""
