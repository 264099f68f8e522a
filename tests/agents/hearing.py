"""What a recognizer hears. It lives in the server's environment, so it is asked there.

`python -m tests.agents.hearing FILE...` prints the words of each WAV file as a line of JSON.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import pytest

from tests.agents.embedded_server import ROOT, command

TEXT = "The first train leaves from platform two, and there is still time for a cup of tea."
WORDS = re.findall(r"\w+", TEXT.lower())
ENOUGH = 0.6  # of the words, in order: the voice is plain, the recognizer small, and no two readings are the same


def expect_heard(audio: bytes | bytearray, rate_hz: int) -> None:
    """Fail unless `TEXT` is heard in 16-bit PCM. Skips the rest of a test if there is no recognizer."""
    program = command()
    assert program is not None
    python = Path(program).parent / "python"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, rate_hz, 0, "NONE", ""))
            file.writeframes(audio)
        done = subprocess.run(
            [python, "-m", "tests.agents.hearing", str(path)], cwd=ROOT, env=os.environ, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("the server's environment has no recognizer: make .venv/ready-for-tests")
    assert done.returncode == 0, done.stderr
    heard = json.loads(done.stdout.splitlines()[-1])
    assert in_order(WORDS, heard) >= ENOUGH * len(WORDS), heard


def in_order(expected: list[str], heard: list[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(heard) + 1)
    for word in expected:
        before = row[:]
        for n, other in enumerate(heard):
            row[n + 1] = before[n] + 1 if word == other else max(row[n], before[n + 1])
    return row[-1]


def main() -> None:
    import numpy as np

    from training.evaluation.recognition import find_recognizer
    from training.evaluation.transcripts import normalized_words

    recognizer = find_recognizer()
    for name in sys.argv[1:]:
        with wave.open(name) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / np.float32(32768)
            print(json.dumps(normalized_words(recognizer.transcribe(samples, file.getframerate()))))


if __name__ == "__main__":
    main()
