"""A checkpoint speaks many texts, in one of the ways in which it may be run."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sayline_tts.engine.text.chunk import Passage
from sayline_tts.engine.tts_model import TTSModel, VoiceState

AT_ONCE = 16  # texts that are spoken side by side; they share the model's steps
SEED = 1


@dataclass(frozen=True)
class Way:
    """`word_by_word`: the text arrives in words, as from a language model, and is read as the server reads it."""

    name: str
    precision: str = "float32"
    decode_steps: int = 1
    temperature: float | None = None  # the model's own
    word_by_word: bool = False


WAYS = (
    Way("usual", precision="auto"),
    Way("float32"),
    Way("bfloat16", precision="bfloat16"),
    Way("5 decode steps", decode_steps=5),
    Way("temperature 0.3", temperature=0.3),
    Way("temperature 0.7", temperature=0.7),
    Way("5 decode steps, temperature 0.7", decode_steps=5, temperature=0.7),
    Way("word by word", word_by_word=True),
)


class Spoken:
    def __init__(self, config: Path, way: Way) -> None:
        self._way = way
        self.model = TTSModel.load_model(
            config=config, temp=way.temperature, lsd_decode_steps=way.decode_steps, precision=way.precision
        )

    @property
    def rate_hz(self) -> int:
        return self.model.sample_rate

    def voices(self, names: Sequence[str]) -> dict[str, VoiceState]:
        return {name: self.model.get_state_for_voice(name) for name in names}

    def say(self, state: VoiceState, text: str) -> NDArray[np.float32]:
        parts = self._passages(text) if self._way.word_by_word else [text]
        said = [self.model.generate_audio(state, part, seed=SEED).numpy() for part in parts]
        return np.concatenate(said)

    def say_all(self, texts: Sequence[str], states: Sequence[VoiceState]) -> list[NDArray[np.float32]]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self.say, states, texts))

    def _passages(self, text: str) -> list[str]:
        reader = self.model._model.reader()
        read = [item for word in text.split() for item in reader.push(word + " ")] + reader.flush()
        return [passage.spoken for passage in read if isinstance(passage, Passage)]
