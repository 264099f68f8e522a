"""How plainly the codec speaks what it is given, by word errors: the teacher's speech against what comes back of it.

    python -m training.codec.reconstruct --work DIR --clips 40

Once from the sketch's latents, as FlowLM will say them at best, and once through the codec's own encoder.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.codec.codec import averaged
from training.codec.codec_network import Decoder, Encoder
from training.codec.decoder import read_shape
from training.codec.latents import encode, load_sketch
from training.data.clips import FRAME_SAMPLES, Clip, read_clips, voices_of
from training.data.spectra import patches
from training.evaluation.asr_wer import Recogniser, word_errors, words_of
from training.trainer.trainer import append_json

LEAST_WORDS = 4


class Codec:
    """The halves as they are now, on whole clips."""

    def __init__(self, work: Path) -> None:
        self._sketch = load_sketch(work)
        self._encoder, self._decoder = Encoder(read_shape()).eval(), Decoder(read_shape()).eval()
        for half, folder in ((self._encoder, "encoder"), (self._decoder, "decoder")):
            path = work / "codec" / folder / "checkpoint.pt"
            half.load_state_dict(averaged(path) or half.state_dict())

    @torch.inference_mode()
    def spoken(self, clip: Clip) -> dict[str, NDArray[np.float32]]:
        audio = torch.from_numpy(clip.audio[: clip.samples // FRAME_SAMPLES * FRAME_SAMPLES])
        written = encode(self._sketch, patches(audio[None])[0])
        heard = self._encoder(audio[None])[0]
        return {
            "teacher": audio.numpy(),
            "sketch": self._decoder(written[None])[0].numpy(),
            "codec": self._decoder(heard[None])[0].numpy(),
        }


def word_error_rates(work: Path, count: int) -> dict[str, float]:
    sentences = (work / "text/sentences.txt").read_text(encoding="utf-8").splitlines()
    clips = read_clips(work / "speech", voices_of(work / "speech"), validation=True)
    clips = [clip for clip in clips if len(sentences[clip.sentence].split()) >= LEAST_WORDS]
    codec, recogniser = Codec(work), Recogniser()
    errors: dict[str, int] = {}
    words = 0
    for clip in random.Random(0).sample(clips, min(count, len(clips))):
        said = words_of(sentences[clip.sentence])
        words += len(said)
        for name, sound in codec.spoken(clip).items():
            errors[name] = errors.get(name, 0) + word_errors(said, recogniser.hear(sound, 24_000))
    return {name: wrong / words for name, wrong in errors.items()}


def steps_of(run: Path) -> int:
    """How far a training has come by its last checkpoint."""
    path = run / "checkpoint.pt"
    return int(torch.load(path, weights_only=True)["step"]) if path.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Word errors of what the codec gives back.")
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--clips", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rates = word_error_rates(options.work, options.clips)
    steps = {half: steps_of(options.work / "codec" / half) for half in ("encoder", "decoder")}
    append_json(options.work / "codec/word_errors.jsonl", {**steps, **rates})
    print(" ".join(f"{name} {rate:.3f}" for name, rate in rates.items()))


if __name__ == "__main__":
    main()
