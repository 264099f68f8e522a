"""Synthesize many texts with a checkpoint, in one of several modes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sayline_tts.engine.text.chunk import TextChunk
from sayline_tts.engine.tts_model import TTSModel, VoiceState

CONCURRENCY = 16  # texts synthesized at the same time, in the same batches
SEED = 1


@dataclass(frozen=True)
class SynthesisMode:
    """How to run a model. `word_by_word`: the text arrives as from an LLM, and is chunked as in the server."""

    name: str
    precision: str = "float32"
    decode_steps: int = 1
    temperature: float | None = None  # None: the model's default
    word_by_word: bool = False


MODES = (
    SynthesisMode("usual", precision="auto"),
    SynthesisMode("float32"),
    SynthesisMode("bfloat16", precision="bfloat16"),
    SynthesisMode("5 decode steps", decode_steps=5),
    SynthesisMode("temperature 0.3", temperature=0.3),
    SynthesisMode("temperature 0.7", temperature=0.7),
    SynthesisMode("5 decode steps, temperature 0.7", decode_steps=5, temperature=0.7),
    SynthesisMode("word by word", word_by_word=True),
)


class CheckpointSynthesizer:
    def __init__(self, config: Path, mode: SynthesisMode) -> None:
        self._mode = mode
        self.model = TTSModel.load_model(
            config=config, temp=mode.temperature, lsd_decode_steps=mode.decode_steps, precision=mode.precision
        )

    @property
    def rate_hz(self) -> int:
        return self.model.sample_rate

    def voices(self, names: Sequence[str]) -> dict[str, VoiceState]:
        return {name: self.model.get_state_for_voice(name) for name in names}

    def synthesize(self, state: VoiceState, text: str) -> NDArray[np.float32]:
        texts = self._chunks(text) if self._mode.word_by_word else [text]
        return np.concatenate([self.model.generate_audio(state, each, seed=SEED).numpy() for each in texts])

    def synthesize_all(self, texts: Sequence[str], states: Sequence[VoiceState]) -> list[NDArray[np.float32]]:
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            return list(pool.map(self.synthesize, states, texts))

    def _chunks(self, text: str) -> list[str]:
        reader = self.model._model.reader()
        items = [item for word in text.split() for item in reader.push(word + " ")] + reader.flush()
        return [chunk.spoken for chunk in items if isinstance(chunk, TextChunk)]
