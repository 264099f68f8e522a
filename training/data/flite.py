"""Bindings to the synthesizer flite, with the end time and the word of each phone.

Needs Debian's `libflite1` (2.2). The output has 16 kHz.
"""

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_float, c_int, c_short, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
SILENCE = "pau"

_WORD = b"R:SylStructure.parent.parent"
_TOKEN = b"R:SylStructure.parent.parent.R:Token.parent"


class _Voice(Structure):
    _fields_ = (("name", c_char_p), ("features", c_void_p))


class _Wave(Structure):
    _fields_ = (("type", c_char_p), ("rate", c_int), ("count", c_int), ("channels", c_int),
                ("samples", POINTER(c_short)))  # fmt: skip


@dataclass(frozen=True)
class Phone:
    name: str
    end_s: float
    word: int  # index among the blank-separated words of the text; -1 for silence


class Flite:
    """One voice: `slt`, `rms`, `awb` or `kal16`. Features are flite's, such as `duration_stretch`."""

    def __init__(self, voice: str, features: dict[str, float]) -> None:
        self._library = _library()
        register = getattr(ctypes.CDLL(f"libflite_cmu_us_{voice}.so.1", ctypes.RTLD_GLOBAL), f"register_cmu_us_{voice}")
        register.restype, register.argtypes = POINTER(_Voice), [c_void_p]
        self._voice = register(None)
        self._names = {name: name.encode() for name in features}  # kept alive: flite stores the pointers
        self._values = features

    def synthesize(self, text: str) -> tuple[NDArray[np.int16], list[Phone]]:
        """Return samples at 16 kHz and their consecutive phones, from 0 s."""
        features = self._voice.contents.features  # shared by all users of this voice
        for name, value in self._values.items():
            self._library.feat_set_float(features, self._names[name], value)
        utterance = self._library.flite_synth_text(text.encode("ascii"), ctypes.cast(self._voice, c_void_p))
        try:
            wave = self._library.utt_wave(utterance).contents
            samples = np.ctypeslib.as_array(wave.samples, (wave.count,)).astype(np.int16)
            return samples, self._phones(utterance)
        finally:
            self._library.delete_utterance(utterance)
            for feature in self._names.values():
                self._library.feat_remove(features, feature)

    def _phones(self, utterance: int) -> list[Phone]:
        library = self._library
        phones: list[Phone] = []
        word = -1
        last_token: int | None = None
        segment = library.relation_head(library.utt_relation(utterance, b"Segment"))
        while segment:
            token = library.path_to_item(segment, _TOKEN) if library.path_to_item(segment, _WORD) else None
            # Words written as one token ("twenty-two") count as one word, since blanks separate words.
            if token and token != last_token:
                word, last_token = word + 1, token
            name = library.ffeature_string(segment, b"name").decode()
            end_s = library.ffeature_float(segment, b"end")
            phones.append(Phone(name, end_s, word if token else -1))
            segment = library.item_next(segment)
        return phones


@cache
def _library() -> Any:
    library = ctypes.CDLL("libflite.so.1", ctypes.RTLD_GLOBAL)
    for part in ("usenglish", "cmulex"):
        ctypes.CDLL(f"libflite_{part}.so.1", ctypes.RTLD_GLOBAL)
    for name, result, *arguments in (
        ("flite_synth_text", c_void_p, c_char_p, c_void_p),
        ("utt_wave", POINTER(_Wave), c_void_p),
        ("utt_relation", c_void_p, c_void_p, c_char_p),
        ("relation_head", c_void_p, c_void_p),
        ("item_next", c_void_p, c_void_p),
        ("path_to_item", c_void_p, c_void_p, c_char_p),
        ("ffeature_string", c_char_p, c_void_p, c_char_p),
        ("ffeature_float", c_float, c_void_p, c_char_p),
        ("feat_set_float", None, c_void_p, c_char_p, c_float),
        ("feat_remove", c_int, c_void_p, c_char_p),
        ("delete_utterance", None, c_void_p),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.flite_init()
    return library
