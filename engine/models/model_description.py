"""What a model is without its weights: config, tokenizer, voices, and how text becomes segments."""

import difflib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sayline_tts.engine.audio.recording import read_audio
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.checkpoint.checkpoint import Checkpoint
from sayline_tts.engine.checkpoint.config import Config
from sayline_tts.engine.checkpoint.resource import fetch, is_remote
from sayline_tts.engine.errors import TextError, UnknownVoice, VoiceError
from sayline_tts.engine.models.voice import Voice, load_voice_file
from sayline_tts.engine.segment import Sampling, Segment
from sayline_tts.engine.text.chunk import Word
from sayline_tts.engine.text.lexicon_matcher import NO_LEXICONS, LexiconMatcher
from sayline_tts.engine.text.model_text import TextRules, clean, frames_after_eos, prepare, split
from sayline_tts.engine.text.reader import Reader
from sayline_tts.engine.text.tokenizer import Tokenizer, load_tokenizer
from sayline_tts.engine.text.word_ids import word_ids

# Source of both numbers: the length limit of the reference's `TTSModel`.
TOKENS_PER_SECOND = 3.0
SPARE_SECONDS = 2.0
# Models are trained on about 50 tokens and degrade long before this; it bounds the cost of one text.
MAX_SEGMENT_TOKENS = 1000
# Left out of the pause between two sentences where a sentence is divided inside a phrase. The text still gets its
# period: without one, the model draws out the last word.
PHRASE_PAUSE_FRAMES = 2


@dataclass(frozen=True, eq=False, repr=False)
class ModelDescription:
    """All that a server needs of a model whose weights are on other machines."""

    checkpoint: Checkpoint
    tokenizer: Tokenizer

    @classmethod
    def read(cls, checkpoint: Checkpoint) -> "ModelDescription":
        """Read config and tokenizer. Raises `CheckpointError`."""
        return cls(checkpoint, read_tokenizer(checkpoint))

    @property
    def config(self) -> Config:
        return self.checkpoint.config

    @property
    def sample_rate_hz(self) -> int:
        return self.config.mimi.sample_rate

    @property
    def frame_samples(self) -> int:
        return self.config.mimi.frame_samples

    @property
    def frame_ms(self) -> float:
        return 1000 / self.config.mimi.frame_rate

    @property
    def text_rules(self) -> TextRules:
        return TextRules.from_config(self.config)

    @property
    def heads(self) -> AlignmentHeads | None:
        """Alignment heads: those whose attention follows the text."""
        return self.checkpoint.heads

    def sampling(self, temperature: float | None = None, decode_steps: int = 1, seed: int | None = None) -> Sampling:
        """Sampling parameters with the model's defaults. `seed` None: a random one."""
        return Sampling(
            temperature=self.config.default_temperature if temperature is None else temperature,
            noise_clamp=None,
            eos_threshold=self.config.default_eos_threshold,
            decode_steps=decode_steps,
            seed=secrets.randbits(53) if seed is None else seed,
        )

    def reader(self, language: str = "en", clean_up: bool = True, lexicons: LexiconMatcher = NO_LEXICONS) -> Reader:
        """Text reader for incremental input, which emits chunks that this model can speak."""
        tokenizer = self.tokenizer
        return Reader(
            lambda text: len(tokenizer.encode(text)),
            language,
            clean_up,
            has_token=tokenizer.has_token,
            lexicons=lexicons,
        )

    def segment(
        self,
        text: str,
        after_eos: int | None = None,
        words: Sequence[Word] = (),
        lookahead_words: int = 0,
        continues: bool = False,
    ) -> Segment:
        """Tokenize one segment of text. `after_eos`: frames to generate after the end of speech.

        `words`: the words of `text`, if their timestamps are wanted. `lookahead_words`: not 0 for an open segment.
        `continues`: the text ends inside a phrase, so that the next segment follows with little pause.
        """
        rules = replace(self.text_rules, append_terminal_punctuation=False) if lookahead_words else self.text_rules
        prepared = prepare(text, rules)
        tokens = tuple(self.tokenizer.encode(prepared))
        if len(tokens) > MAX_SEGMENT_TOKENS:
            raise TextError(
                f"a passage of {len(text)} characters ({text[:20]!r}...) is too long and has no punctuation "
                "to split it at; add full stops or commas"
            )
        seconds = len(tokens) / TOKENS_PER_SECOND + SPARE_SECONDS
        if after_eos is None:
            after_eos = self.config.model_recommended_frames_after_eos
        if after_eos is None:
            after_eos = frames_after_eos(text, self.text_rules)
        if continues:
            after_eos = max(0, after_eos - PHRASE_PAUSE_FRAMES)
        return Segment(
            text,
            tokens,
            max_frames=int(np.ceil(seconds * self.config.mimi.frame_rate)),
            frames_after_eos=after_eos,
            words=tuple(words),
            word_ids=self._word_ids(prepared, words) if self.heads else (),
            lookahead_words=lookahead_words,
        )

    def word_ids(self, text: str, words: Sequence[Word]) -> tuple[int, ...]:
        """Index of the word each token of this text's segment belongs to. Empty if unknown."""
        return self._word_ids(prepare(text, self.text_rules), words)

    def _word_ids(self, prepared: str, words: Sequence[Word]) -> tuple[int, ...]:
        return word_ids(words, prepared, self.tokenizer.offsets(prepared)) if words else ()

    def segments(self, text: str, after_eos: int | None = None) -> list[Segment]:
        """Split a whole text where the reference splits it."""
        parts = split(clean(text), self.tokenizer, self.text_rules)
        if not parts:
            raise TextError("the text contains nothing to speak; add some words")
        return [self.segment(part, after_eos) for part in parts]

    def encode_voice(self, audio: np.ndarray) -> Voice:
        """Encode audio `[samples]` at `sample_rate_hz` as a voice. Raises `VoiceError`: that takes weights."""
        raise VoiceError(
            "a front of a fleet has no weights to clone a voice with; make a voice file of the recording with "
            "`sayline export-voice` where the weights are, and upload that"
        )

    def encode_recording(self, audio: np.ndarray) -> Voice:
        """As `encode_voice`."""
        return self.encode_voice(audio)

    def load_voice(self, source: str | Path, truncate: bool = False) -> Voice:
        """Load a voice by name, or from a `.safetensors` or audio file: a path, `https://` or `hf://`."""
        name = str(source)
        if isinstance(source, str) and name in self.checkpoint.voices():
            name = self.checkpoint.voice_source(name)
        elif not is_remote(name):
            self._check_path(Path(name).expanduser(), isinstance(source, str) and "/" not in name)
        path = fetch(name)
        if path.suffix == ".safetensors":
            return load_voice_file(path, self.config.flow_lm.transformer)
        return self.encode_recording(read_audio(path, self.sample_rate_hz, truncate))

    def _check_path(self, path: Path, may_be_a_name: bool) -> None:
        if path.is_dir():
            raise VoiceError(f"{path} is a folder; give the path of a file")
        if path.exists():
            return
        if not may_be_a_name:
            raise VoiceError(f"{path}: no such file; check the path")
        voices = self.checkpoint.voices()
        near = difflib.get_close_matches(str(path), voices, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise UnknownVoice(f"no voice and no file {str(path)!r}; {guess}voices: {', '.join(voices) or 'none'}")


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    table = checkpoint.config.flow_lm.lookup_table
    return load_tokenizer(checkpoint.tokenizer, table.tokenizer, table.n_bins)
