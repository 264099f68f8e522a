"""The neural synthesizer `hibari-tts`, with the pitch and the phone times from inside its network.

For each 12.5 ms the network predicts harmonics, noise and a residual at 601 frequencies, and the pitch; `hibari.dsp`
turns them into audio. Since this pitch is exact, `training.data.psola` can make other speakers of the audio. Needs
`hibari-tts` 0.2.1 (Apache 2.0), `onnx` and `onnxruntime`.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import hibari
import numpy as np
import onnx
import onnxruntime
from hibari import dsp
from numpy.typing import NDArray

from training.data.flite import SILENCE, Phone
from training.data.psola import PitchMarks
from training.data.speakers import WordMismatchError

SAMPLE_RATE_HZ = 24_000
FRAME_SAMPLES = 300
FRAME_S = FRAME_SAMPLES / SAMPLE_RATE_HZ
MIN_VOICED_HZ = 40.0  # a predicted pitch below this marks an unvoiced frame
DURATIONS = "/Clip_output_0"  # inner tensor: duration of each symbol
FRAMES_PER_DURATION = 2
STRESS_MARKS = frozenset("ˈˌː")
LEAD_FRAMES = 6  # of the audio over the durations, by forced alignment: a phone is heard 75 ms before they say
MIN_PAUSE_FRAMES = 6  # shorter blanks and punctuation marks belong to the phone before them
PAUSE_LEVEL = 3.5  # below the loudest frame, in natural logarithms of amplitude

# The synthesizer's phonemes and their names in `training.data.phones`.
PHONE_NAMES = {
    "A": "ey", "I": "ay", "O": "ow", "W": "aw", "Y": "oy", "ᵊ": "ax", "ə": "ax", "ɐ": "ax", "ʌ": "ah", "æ": "ae",
    "ɑ": "aa", "ɔ": "ao", "ɛ": "eh", "ɜ": "er", "ɪ": "ih", "ᵻ": "ih", "i": "iy", "u": "uw", "ʊ": "uh", "b": "b",
    "ʧ": "ch", "d": "d", "T": "d", "ð": "dh", "f": "f", "ɡ": "g", "h": "hh", "ʤ": "jh", "k": "k", "l": "l", "m": "m",
    "n": "n", "ŋ": "ng", "p": "p", "ɹ": "r", "s": "s", "ʃ": "sh", "t": "t", "θ": "th", "v": "v", "w": "w", "j": "y",
    "z": "z", "ʒ": "zh",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class VocoderParameters:
    """One utterance before synthesis. Magnitudes are natural logarithms, `[601, frames]`."""

    harmonics: NDArray[np.float32]
    harmonic_phase: NDArray[np.float32]
    noise: NDArray[np.float32]
    residual: NDArray[np.float32]
    residual_phase: NDArray[np.float32]
    pitch_hz: NDArray[np.float32]  # [frames]; below `MIN_VOICED_HZ` where unvoiced
    symbols: list[str]
    words: list[int]  # of each symbol
    durations: NDArray[np.int_]  # of each symbol, in frames

    def synthesize(self, seed: int) -> NDArray[np.float32]:
        rng = np.random.default_rng(seed)
        audio: NDArray[np.float32] = dsp.synth(
            self.harmonics, self.harmonic_phase, self.noise, self.residual, self.residual_phase, self.pitch_hz, rng
        )
        return audio

    def phones(self, audio: NDArray[np.floating[Any]]) -> list[Phone]:
        """The phones of the synthesized audio, whose level tells pauses."""
        frames = self.durations.copy()
        lead = min(LEAD_FRAMES, int(frames[0]))
        frames[0] -= lead
        frames[-1] += lead
        power = np.square(audio[: len(self.pitch_hz) * FRAME_SAMPLES]).reshape(-1, FRAME_SAMPLES).mean(1)
        return phones_of(self.symbols, self.words, frames, np.log(power + 1e-12) / 2)

    def pitch_marks(self) -> PitchMarks:
        return PitchMarks.from_track(self.pitch_hz, self.pitch_hz > MIN_VOICED_HZ, FRAME_SAMPLES, SAMPLE_RATE_HZ)


class Hibari:
    """The voice contained in the package; `threads`: CPU threads."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._voice = hibari.Hibari(threads=threads)

    def parameters(self, text: str) -> VocoderParameters:
        """Run the network. Raises WordMismatchError as `symbols` does."""
        symbols, words = self.symbols(text)
        ids = np.array([[0, *(self._voice.vocab[symbol] for symbol in symbols), 0]], np.int64)
        *spectra, pitch_hz, durations = self._network.run(None, {"ids": ids, "speed": np.ones(1, np.float32)})
        frames = np.rint(durations.ravel()).astype(int) * FRAMES_PER_DURATION
        harmonics, harmonic_phase, noise, residual, residual_phase = (spectrum[0] for spectrum in spectra)
        symbols, words = [" ", *symbols, " "], [-1, *words, -1]
        return VocoderParameters(
            harmonics, harmonic_phase, noise, residual, residual_phase, pitch_hz[0], symbols, words, frames
        )

    def symbols(self, text: str) -> tuple[list[str], list[int]]:
        """Phonemes, stress marks and punctuation for the network, and the index of the written word of each.

        Raises WordMismatchError if some word of the text gets no phonemes.
        """
        symbols: list[str] = []
        words: list[int] = []
        word = 0
        for token in self._voice.g2p.phonemize_tokens(self._voice.g2p.tokenize(text)):
            known = [symbol for symbol in token.phonemes or "" if symbol in self._voice.vocab]
            symbols += known
            words += [word] * len(known)
            if token.whitespace:
                symbols.append(" ")
                words.append(word)
                word += 1
        pronounced = {index for symbol, index in zip(symbols, words, strict=True) if symbol in PHONE_NAMES}
        if pronounced != set(range(len(text.split()))):
            raise WordMismatchError(text)
        return symbols, words

    @cached_property
    def _network(self) -> Any:
        return session_with_output(Path(self._voice.model_path), DURATIONS, self._threads)


def session_with_output(path: Path, tensor: str, threads: int) -> Any:
    """An onnxruntime session of the network in `path` that also returns an inner float tensor."""
    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def phones_of(symbols: list[str], words: list[int], frames: NDArray[np.int_],
              level: NDArray[np.floating[Any]], frame_s: float = FRAME_S) -> list[Phone]:  # fmt: skip
    """Convert symbols with durations in frames to consecutive phones. `level`: of each frame, logarithmic.

    A stress mark belongs to the phone after it. Blanks and punctuation belong to the phone before, or are a pause. The
    network counts a pause as part of the phone before it, so a quiet end of a phone is split off.
    """
    phones: list[Phone] = []
    quiet = level < level.max() - PAUSE_LEVEL
    start = end = 0
    for symbol, word, duration in zip(symbols, words, frames.tolist(), strict=True):
        end += duration
        if symbol in STRESS_MARKS:
            continue
        if symbol in PHONE_NAMES:
            loud = np.flatnonzero(~quiet[start:end])
            loud_end = start + int(loud[-1]) + 1 if len(loud) else end
            if end - loud_end >= MIN_PAUSE_FRAMES:
                phones.append(Phone(PHONE_NAMES[symbol], loud_end * frame_s, word))
                phones.append(Phone(SILENCE, end * frame_s, -1))
            else:
                phones.append(Phone(PHONE_NAMES[symbol], end * frame_s, word))
        elif not phones or phones[-1].name == SILENCE or end - start >= MIN_PAUSE_FRAMES:
            if phones and phones[-1].name == SILENCE:
                phones.pop()
            phones.append(Phone(SILENCE, end * frame_s, -1))
        else:
            last = phones.pop()
            phones.append(Phone(last.name, end * frame_s, last.word))
        start = end
    return phones
