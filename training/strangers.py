"""Speakers who are not there, `python -m training.strangers --work DIR`: the model's own, played faster or slower.

That moves pitch and formants together, as a longer or shorter throat does. FlowLM learns from them that a prompt tells
how to sound, not only which of four speakers it is; without them nobody could be cloned. Only latents and labels are
kept, in `DIR/strangers`, laid out like the speakers' own.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly
from tqdm import tqdm

from training.data import FRAME_SAMPLES, SAMPLE_RATE, Shard, shards_of, voices_of
from training.files import write_arrays
from training.latents import encode, load_sketch
from training.sketch_network import Sketch
from training.spectra import patches

SPEEDS = (Fraction(22, 25), Fraction(47, 50), Fraction(16, 15), Fraction(57, 50))
SHARDS = 2  # of each speaker are played at each speed


def changed(audio: NDArray[np.int16], speed: Fraction) -> NDArray[np.float32]:
    """Played at this speed; a whole number of frames."""
    sound = resample_poly(audio.astype(np.float32) / 2**15, speed.denominator, speed.numerator)
    padded: NDArray[np.float32] = np.pad(sound, (0, -len(sound) % FRAME_SAMPLES)).astype(np.float32)
    return padded


@torch.inference_mode()
def change(shard: Shard, speed: Fraction, sketch: Sketch) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Latents and labels of a shard at this speed."""
    labels = shard.labels
    starts, phone_starts = labels["audio_start"].tolist(), labels["phone_start"].tolist()
    latents, frames = [], [0]
    ends_s = labels["phone_end"].astype(np.float32) / np.float32(speed)
    for clip in range(len(labels["sentence"])):
        sound = changed(shard.audio[starts[clip] : starts[clip + 1]], speed)
        latents.append(encode(sketch, patches(torch.from_numpy(sound)[None])[0]).numpy().astype(np.float16))
        frames.append(frames[-1] + len(latents[-1]))
        ends_s[phone_starts[clip + 1] - 1] = len(sound) / SAMPLE_RATE
    kept = {name: labels[name] for name in ("sentence", "phone_start", "phone", "word")}
    return {"latent": np.concatenate(latents), "start": np.array(frames, np.int32)}, kept | {"phone_end": ends_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    work: Path = parser.parse_args().work
    torch.set_num_threads(1)
    sketch = load_sketch(work)
    for voice in tqdm(voices_of(work / "speech")):
        own = [shard for shard in shards_of(work / "speech") if shard.voice == voice]
        for place, speed in enumerate(SPEEDS):
            for shard in own[place * SHARDS : (place + 1) * SHARDS]:
                name = f"{voice}-{round(100 * speed)}/{shard.name}.npz"
                if (work / "strangers/latents" / name).exists():
                    continue
                latents, labels = change(shard, speed, sketch)
                for kind, arrays in (("speech", labels), ("latents", latents)):
                    path = work / "strangers" / kind / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_arrays(path, arrays)


if __name__ == "__main__":
    main()
