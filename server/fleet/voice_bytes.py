"""Voices as bytes, named by their content, so that each travels to an engine once."""

import hashlib
import struct
from weakref import WeakKeyDictionary

import numpy as np
import torch

from sayline_tts.engine.models.voice import MAX_VALUE, Voice
from sayline_tts.server.fleet.wire import WireError

_SHAPE = struct.Struct(">4I")  # of keys and of values: layers, kv_heads, positions, head_dim
MAX_VOICE_BYTES = 128 * 1024 * 1024


class VoiceHashes:
    """The hash of each voice that is in memory, computed once."""

    def __init__(self) -> None:
        self._hashes: WeakKeyDictionary[Voice, bytes] = WeakKeyDictionary()

    def of(self, voice: Voice) -> bytes:
        """Takes milliseconds for a voice that is new."""
        if (known := self._hashes.get(voice)) is None:
            known = self._hashes[voice] = voice_hash(to_bytes(voice))
        return known


def voice_hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def to_bytes(voice: Voice) -> bytes:
    parts = (part.contiguous().numpy().tobytes() for part in (voice.keys, voice.values))
    return _SHAPE.pack(*voice.keys.shape) + b"".join(parts)


def from_bytes(data: bytes, heads: tuple[int, int, int]) -> Voice:
    """`heads`: layers, kv_heads and head_dim of the model. Raises `WireError` if the voice does not fit it."""
    shape = _SHAPE.unpack_from(data) if len(data) >= _SHAPE.size else (0, 0, 0, 0)
    values = np.frombuffer(data, np.float32, offset=_SHAPE.size) if len(data) % 4 == 0 and data else np.zeros(0)
    layers, kv_heads, positions, head_dim = shape
    fits = (layers, kv_heads, head_dim) == heads and len(values) == 2 * layers * kv_heads * positions * head_dim > 0
    if not fits:
        raise WireError(f"a voice of {list(shape)} does not fit this model")
    if not (np.abs(values) <= MAX_VALUE).all():
        raise WireError("a voice holds numbers that are not finite, or far too large")
    keys, rest = torch.from_numpy(values.reshape(2, *shape).copy())
    return Voice(keys, rest)
