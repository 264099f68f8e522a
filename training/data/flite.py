"""The synthesizer flite, called in this process. It tells when each sound ends and which word it belongs to.

Needs Debian's `libflite1` (2.2). Sound comes at 16 kHz.
"""

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_float, c_int, c_short, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
SILENCE = "pau"

_WORD = b"R:SylStructure.parent.parent"
_WRITTEN = b"R:SylStructure.parent.parent.R:Token.parent"


class _Voice(Structure):
    _fields_ = (("name", c_char_p), ("features", c_void_p))


class _Wave(Structure):
    _fields_ = (("type", c_char_p), ("rate", c_int), ("count", c_int), ("channels", c_int),
                ("samples", POINTER(c_short)))  # fmt: skip


@dataclass(frozen=True)
class Phone:
    name: str
    end_s: float
    word: int  # of the text as it is written, blanks between them; -1 for silence


class Flite:
    """One voice: `slt`, `rms`, `awb` or `kal16`. The features are flite's own, such as `duration_stretch`."""

    def __init__(self, voice: str, features: dict[str, float]) -> None:
        self._library = _library()
        register = getattr(ctypes.CDLL(f"libflite_cmu_us_{voice}.so.1", ctypes.RTLD_GLOBAL), f"register_cmu_us_{voice}")
        register.restype, register.argtypes = POINTER(_Voice), [c_void_p]
        self._voice = register(None)
        self._names = {name: name.encode() for name in features}  # flite keeps the pointers
        self._values = features

    def speak(self, text: str) -> tuple[NDArray[np.int16], list[Phone]]:
        """Samples at 16 kHz and the sounds in them, one behind the other from 0 s."""
        features = self._voice.contents.features  # those of all who use this voice
        for name, value in self._values.items():
            self._library.feat_set_float(features, self._names[name], value)
        said = self._library.flite_synth_text(text.encode("ascii"), ctypes.cast(self._voice, c_void_p))
        try:
            wave = self._library.utt_wave(said).contents
            samples = np.ctypeslib.as_array(wave.samples, (wave.count,)).astype(np.int16)
            return samples, self._phones(said)
        finally:
            self._library.delete_utterance(said)
            for kept in self._names.values():
                self._library.feat_remove(features, kept)

    def _phones(self, said: int) -> list[Phone]:
        library = self._library
        phones: list[Phone] = []
        word = -1
        last_written: int | None = None
        segment = library.relation_head(library.utt_relation(said, b"Segment"))
        while segment:
            written = library.path_to_item(segment, _WRITTEN) if library.path_to_item(segment, _WORD) else None
            # Words that are written as one token ("twenty-two") count as one, as blanks part them.
            if written and written != last_written:
                word, last_written = word + 1, written
            name = library.ffeature_string(segment, b"name").decode()
            end_s = library.ffeature_float(segment, b"end")
            phones.append(Phone(name, end_s, word if written else -1))
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
