"""Predicted mean opinion scores of speech: DNSMOS (arXiv:2110.01763), from 1 to 5.

The package `speechmos` (MIT) contains the networks. Their input has 16 kHz, so nothing above 8 kHz is rated.
"""

from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy.signal import resample_poly
from speechmos import dnsmos

INPUT_RATE_HZ = 16_000
PEAK = 0.99


@dataclass(frozen=True)
class Rating:
    """Mean opinion scores: `overall` after ITU-T P.835, `p808` after ITU-T P.808."""

    overall: float
    p808: float


class Dnsmos:
    """Rates clips; `threads`: CPU threads. The sessions of `speechmos` itself would use all cores."""

    def __init__(self, threads: int = 1) -> None:
        folder = Path(dnsmos.__file__).parent / "dnsmos_models"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        paths = [str(folder / name) for name in ("sig_bak_ovr.onnx", "model_v8.onnx")]
        self._dnsmos = dnsmos.DNSMOS(*paths)
        self._dnsmos.onnx_sess, self._dnsmos.p808_onnx_sess = (
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]) for path in paths
        )

    def rate(self, audio: NDArray[np.float32], rate_hz: int) -> Rating:
        """Rate one clip; full scale is 1. `speechmos` repeats clips of less than 9 s up to that length."""
        common = gcd(rate_hz, INPUT_RATE_HZ)
        resampled = resample_poly(audio, INPUT_RATE_HZ // common, rate_hz // common)
        scores = self._dnsmos(np.clip(resampled, -PEAK, PEAK).astype(np.float32), INPUT_RATE_HZ, False)
        return Rating(float(scores["ovrl_mos"]), float(scores["p808_mos"]))
