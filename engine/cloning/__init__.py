"""Clone a voice from a recording and report on the quality of the recording."""
