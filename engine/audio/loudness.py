"""Loudness as listeners hear it, by ITU-R BS.1770 and EBU R 128, and changing it without clipping."""

import numpy as np
import numpy.typing as npt

BLOCK_S, STEP_S = 0.4, 0.1
ABSOLUTE_GATE_LUFS, RELATIVE_GATE_LU = -70.0, -10.0
_OFFSET_DB = -0.691  # so that a tone of 997 Hz at full scale has -3.01 LUFS

# Beyond it, samples approach full scale slowly instead of reaching it: a few peaks, and no click where they would clip.
LIMITER_KNEE = 0.8

Samples = npt.NDArray[np.float32]


def integrated_loudness(mono: Samples, rate_hz: int) -> float:
    """Return the loudness of `[samples]` in LUFS, without the pauses in it; -inf for silence."""
    power = _k_weighted(mono.astype(np.float64), rate_hz) ** 2
    block, step = round(BLOCK_S * rate_hz), round(STEP_S * rate_hz)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    starts = np.arange(0, max(len(power) - block, 0) + 1, step)
    blocks = (sums[np.minimum(starts + block, len(power))] - sums[starts]) / block
    loud = blocks[_lufs(blocks) > ABSOLUTE_GATE_LUFS]
    if not len(loud):
        return -np.inf
    kept = loud[_lufs(loud) > _lufs(loud.mean()) + RELATIVE_GATE_LU]
    return float(_lufs(kept.mean()))


def amplify(pcm: Samples, gain: float) -> Samples:
    """Multiply `[samples]` by a factor; peaks beyond `LIMITER_KNEE` are rounded off and stay within full scale."""
    amplified = pcm * np.float32(gain)
    size = np.abs(amplified)
    if gain <= 1 or not len(size) or size.max() <= LIMITER_KNEE:
        return amplified
    rounded = LIMITER_KNEE + (1 - LIMITER_KNEE) * np.tanh((size - LIMITER_KNEE) / (1 - LIMITER_KNEE))
    return np.where(size > LIMITER_KNEE, np.copysign(rounded, amplified), amplified).astype(np.float32)


def _lufs(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(_OFFSET_DB + 10 * np.log10(np.maximum(power, 1e-20)))


def _k_weighted(samples: npt.NDArray[np.float64], rate_hz: int) -> npt.NDArray[np.float64]:
    """Apply the two filters of BS.1770, whose published coefficients are for 48 kHz, designed for this rate."""
    from scipy.signal import lfilter  # imported late: it takes 0.7 s, and synthesis does not need it

    for b, a in (_high_shelf(rate_hz), _high_pass(rate_hz)):
        samples = lfilter(b, a, samples)
    return samples


def _high_shelf(rate_hz: int) -> tuple[list[float], list[float]]:
    """The effect of the head: +4 dB above 1.7 kHz. Parameters: those that give BS.1770's coefficients at 48 kHz."""
    k = np.tan(np.pi * 1681.974450955533 / rate_hz)
    q, gain = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    root = gain**0.4996667741545416
    scale = 1 + k / q + k * k
    b = [(gain + root * k / q + k * k) / scale, 2 * (k * k - gain) / scale, (gain - root * k / q + k * k) / scale]
    return b, [1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale]


def _high_pass(rate_hz: int) -> tuple[list[float], list[float]]:
    """Less sensitivity to low tones."""
    k, q = np.tan(np.pi * 38.13547087602444 / rate_hz), 0.5003270373238773
    scale = 1 + k / q + k * k
    return [1.0, -2.0, 1.0], [1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale]
