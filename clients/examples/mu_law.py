"""Convert between 16-bit PCM and telephone audio: 8 kHz mu-law (G.711)."""

import numpy as np
import numpy.typing as npt

RATE_HZ = 8000
PASS_HZ = 3600  # low-pass cutoff: higher frequencies would alias
TAPS = 97
BIAS, LOUDEST = 132, 32_635
VOICE = 1000  # minimum mean amplitude of speech, of 32,767
VOICE_PACKETS = 8  # consecutive packets, 160 ms, so that a cough does not count


class TelephoneEncoder:
    """Resamples from a multiple of 8 kHz and encodes, seamlessly in pieces. Delay: 2 ms at 24 kHz."""

    def __init__(self, sample_rate_hz: int) -> None:
        if sample_rate_hz % RATE_HZ:
            raise ValueError(f"{sample_rate_hz} Hz is not a multiple of {RATE_HZ} Hz")
        self._step = sample_rate_hz // RATE_HZ
        offsets = np.arange(TAPS) - TAPS // 2
        taps = np.sinc(2 * PASS_HZ / sample_rate_hz * offsets) * np.hamming(TAPS)
        self._taps = taps / taps.sum()
        self._history = np.zeros(TAPS - 1)

    def encode(self, pcm: bytes) -> bytes:
        samples = np.concatenate([self._history, np.frombuffer(pcm, np.int16)])
        self._history = samples[1 - TAPS :]
        return mu_law(np.convolve(samples, self._taps, "valid")[:: self._step])


class VoiceDetector:
    """Detects by loudness that the caller speaks. A real bridge would use a VAD or the speech recognizer."""

    def __init__(self) -> None:
        self._loud_packets = 0

    def speech_started(self, sound: bytes) -> bool:
        loudness = float(np.abs(decode(sound)).mean()) if sound else 0.0
        self._loud_packets = self._loud_packets + 1 if loudness > VOICE else 0
        return self._loud_packets == VOICE_PACKETS


def mu_law(samples: npt.ArrayLike) -> bytes:
    """Encode as G.711 mu-law: sign, exponent and four bits of mantissa."""
    whole = np.rint(np.asarray(samples, float)).astype(int)
    size = np.minimum(np.abs(whole), LOUDEST) + BIAS
    exponent = np.frexp(size)[1] - 8
    byte = np.where(whole < 0, 0x80, 0) | exponent << 4 | size >> exponent + 3 & 0x0F
    return bytes((~byte & 0xFF).astype(np.uint8))


def decode(sound: bytes) -> npt.NDArray[np.int16]:
    byte = ~np.frombuffer(sound, np.uint8).astype(int) & 0xFF
    size = ((byte & 0x0F) << 3 | 0x84) << (byte >> 4 & 7)
    return np.where(byte & 0x80, BIAS - size, size - BIAS).astype(np.int16)
