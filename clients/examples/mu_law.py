"""The sound of a telephone: 8 kHz mu-law (G.711), made from what the server sends, and back."""

import numpy as np
import numpy.typing as npt

RATE_HZ = 8000
PASS_HZ = 3600  # what lies above would come back as noise
TAPS = 97
BIAS, LOUDEST = 132, 32_635
VOICE = 1000  # as loud as a voice, at the least: of 32,767
VOICE_PACKETS = 8  # one after the other: 160 ms, or a cough would do


class Mouth:
    """Samples of any multiple of 8 kHz to mu-law, piece by piece without a seam; 2 ms later at 24 kHz."""

    def __init__(self, sample_rate_hz: int) -> None:
        if sample_rate_hz % RATE_HZ:
            raise ValueError(f"{sample_rate_hz} Hz is no multiple of {RATE_HZ} Hz")
        self._step = sample_rate_hz // RATE_HZ
        places = np.arange(TAPS) - TAPS // 2
        taps = np.sinc(2 * PASS_HZ / sample_rate_hz * places) * np.hamming(TAPS)
        self._taps = taps / taps.sum()
        self._former = np.zeros(TAPS - 1)

    def say(self, pcm: bytes) -> bytes:
        samples = np.concatenate([self._former, np.frombuffer(pcm, np.int16)])
        self._former = samples[1 - TAPS :]
        return encode(np.convolve(samples, self._taps, "valid")[:: self._step])


class Ear:
    """Whether the caller speaks. A real bridge would ask a voice detector, or the speech recognition."""

    def __init__(self) -> None:
        self._loud_packets = 0

    def hears_a_voice(self, sound: bytes) -> bool:
        loudness = float(np.abs(decode(sound)).mean()) if sound else 0.0
        self._loud_packets = self._loud_packets + 1 if loudness > VOICE else 0
        return self._loud_packets == VOICE_PACKETS


def encode(samples: npt.ArrayLike) -> bytes:
    """A sign, the place of the highest bit, and the four bits behind it."""
    whole = np.rint(np.asarray(samples, float)).astype(int)
    size = np.minimum(np.abs(whole), LOUDEST) + BIAS
    exponent = np.frexp(size)[1] - 8
    byte = np.where(whole < 0, 0x80, 0) | exponent << 4 | size >> exponent + 3 & 0x0F
    return bytes((~byte & 0xFF).astype(np.uint8))


def decode(sound: bytes) -> npt.NDArray[np.int16]:
    byte = ~np.frombuffer(sound, np.uint8).astype(int) & 0xFF
    size = ((byte & 0x0F) << 3 | 0x84) << (byte >> 4 & 7)
    return np.where(byte & 0x80, BIAS - size, size - BIAS).astype(np.int16)
