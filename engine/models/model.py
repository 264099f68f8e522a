"""A loaded model: FlowLM, Mimi, tokenizer and config. Makes voices and segments; holds no per-stream state."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from sayline_tts.engine.audio.prompt_excerpt import find_excerpt
from sayline_tts.engine.audio.recording import end_on_pause
from sayline_tts.engine.cache.kv_cache import KVCache
from sayline_tts.engine.cache.static_pages import StaticPages
from sayline_tts.engine.checkpoint.checkpoint import Checkpoint
from sayline_tts.engine.checkpoint.safetensors_reader import read_tensors
from sayline_tts.engine.device import uses_static_shapes
from sayline_tts.engine.errors import CheckpointError, InputError, VoiceError
from sayline_tts.engine.kernels.jit import ACTIVE_ISA
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.flow_lm import FlowLM
from sayline_tts.engine.models.layers import pack
from sayline_tts.engine.models.mimi import Mimi
from sayline_tts.engine.models.model_description import ModelDescription, read_tokenizer
from sayline_tts.engine.models.voice import Voice

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class Model(ModelDescription):
    """Immutable after loading, so any number of threads may share one model."""

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
        return cls(checkpoint, read_tokenizer(checkpoint), flow_lm, mimi, chosen)

    @property
    def device(self) -> torch.device:
        return self.flow_lm.bos_emb.device

    @property
    def isa(self) -> str:
        """Name of the instruction set that int8 kernels use here."""
        return ACTIVE_ISA.name

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
