"""A loaded model: FlowLM, Mimi, tokenizer and config. Makes voices and segments; holds no per-stream state."""

import difflib
import logging
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sayline_tts.engine.audio.prompt_excerpt import find_excerpt
from sayline_tts.engine.audio.recording import end_on_pause, read_audio
from sayline_tts.engine.cache.kv_cache import KVCache
from sayline_tts.engine.cache.static_pages import StaticPages
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.checkpoint.checkpoint import Checkpoint
from sayline_tts.engine.checkpoint.config import Config
from sayline_tts.engine.checkpoint.resource import fetch, is_remote
from sayline_tts.engine.checkpoint.safetensors_reader import read_tensors
from sayline_tts.engine.device import uses_static_shapes
from sayline_tts.engine.errors import CheckpointError, InputError, TextError, UnknownVoice, VoiceError
from sayline_tts.engine.kernels.jit import ACTIVE_ISA
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.flow_lm import FlowLM
from sayline_tts.engine.models.layers import pack
from sayline_tts.engine.models.mimi import Mimi
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

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """Immutable after loading, so any number of threads may share one model."""

    checkpoint: Checkpoint
    tokenizer: Tokenizer
    flow_lm: FlowLM
    mimi: Mimi
    precision: Precision

    @classmethod
    def load(cls, checkpoint: Checkpoint, device: str = "cpu", precision: str = "auto") -> "Model":
        """Load a checkpoint. Raises `CheckpointError` if weights, tokenizer and config do not match."""
        config = checkpoint.config
        torch_device = _known_device(device)
        with torch.device("meta"):
            flow_lm, mimi = FlowLM(config), Mimi(config.mimi)
        networks = torch.nn.ModuleDict({"flow_lm": flow_lm, "mimi": mimi})
        tensors = read_tensors(checkpoint.weights)
        _check_fit(checkpoint, networks, tensors)
        networks.load_state_dict(tensors, assign=True)
        networks.requires_grad_(False).eval().to(torch_device)
        chosen = Precision.choose(precision, torch_device)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda network: pack(network, chosen), (flow_lm, mimi)))
        table = config.flow_lm.lookup_table
        tokenizer = load_tokenizer(checkpoint.tokenizer, table.tokenizer, table.n_bins)
        return cls(checkpoint, tokenizer, flow_lm, mimi, chosen)

    @property
    def config(self) -> Config:
        return self.checkpoint.config

    @property
    def device(self) -> torch.device:
        return self.flow_lm.bos_emb.device

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
    def isa(self) -> str:
        """Name of the instruction set that int8 kernels use here."""
        return ACTIVE_ISA.name

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

    @torch.inference_mode()
    def encode_voice(self, audio: np.ndarray) -> Voice:
        """Encode audio `[samples]` at `sample_rate_hz` as a voice. Five seconds take 0.07 to 0.4 s, depending on the
        model.
        """
        if not self.checkpoint.can_clone:
            names = ", ".join(self.checkpoint.voices())
            raise VoiceError(
                f"these weights of {self.checkpoint.name} cannot clone a voice ({self.checkpoint.reason}); "
                f"use one of its own voices ({names}), or accept the terms of kyutai/pocket-tts and log in"
            )
        prompt = torch.from_numpy(end_on_pause(audio, self.sample_rate_hz)).to(self.device)
        return self.voice_from_embeddings(self.flow_lm.embed_voice(self.mimi.encode(prompt)))

    def encode_recording(self, audio: np.ndarray) -> Voice:
        """Encode the best excerpt of audio `[samples]` that the model can take as a voice. Raises `VoiceError`."""
        limit_s = self.checkpoint.max_prompt_s
        if limit_s is None:
            return self.encode_voice(audio)
        start, end = find_excerpt(audio, self.sample_rate_hz, limit_s)
        if end - start < len(audio):
            seconds = (limit_s, start / self.sample_rate_hz, end / self.sample_rate_hz)
            log.warning("This model takes at most %.1f s of a recording; it gets %.1f to %.1f s of this one.", *seconds)
        return self.encode_voice(audio[start:end])

    @torch.inference_mode()
    def voice_from_embeddings(self, vectors: torch.Tensor) -> Voice:
        """Prefill FlowLM with embeddings `[positions, width]` and export its KV cache as a voice."""
        shape, slot, length = self.flow_lm.cache_shape, torch.tensor([0], device=self.device), len(vectors)
        if uses_static_shapes(self.device):
            pages = StaticPages(shape, 1)
            columns = pages.reserve([0], [length])
            self.flow_lm(vectors[None], pages.attention_metadata(slot, length, columns))
            prefix = pages.export_prefix(0)
        else:
            cache = KVCache(shape, 1)
            self.flow_lm(vectors, cache.attention_metadata(slot, length))
            cache.advance(slot, length)
            prefix = cache.export_prefix(0)
        return Voice.from_cache(prefix.keys, prefix.values)

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


def _known_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {name!r} is not usable ({str(error).splitlines()[0]}); try cpu") from None
    return device


def _check_fit(checkpoint: Checkpoint, networks: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Raise `CheckpointError` with a readable list of what `load_state_dict` would refuse."""
    needed = {name: tuple(tensor.shape) for name, tensor in networks.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    faults = [f"{name} is missing" for name in needed.keys() - found.keys()]
    faults += [f"{name} is not in the config" for name in found.keys() - needed.keys()]
    faults += [
        f"{name} is {list(found[name])}, the config says {list(needed[name])}"
        for name in needed.keys() & found.keys()
        if found[name] != needed[name]
    ]
    if faults:
        shown = "; ".join(sorted(faults)[:5]) + (f"; and {len(faults) - 5} more" if len(faults) > 5 else "")
        raise CheckpointError(
            f"{checkpoint.weights.name} does not fit its config ({checkpoint.name}): {shown}. "
            "Use the weights that this config was published with."
        )
