"""Measure the intelligibility of the codec: word error rates of real and of reconstructed speech.

    python -m training.codec.reconstruct --work DIR --clips 40

Speech is reconstructed from the latents of the spectral autoencoder, an upper bound for FlowLM, and from those of the
codec's encoder.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.codec.assemble import averaged_weights
from training.codec.encode_latents import encode, load_autoencoder
from training.codec.network import Decoder, Encoder
from training.codec.train_decoder import read_codec_config
from training.data.clips import FRAME_SAMPLES, Clip, read_clips, voices_of
from training.data.spectra import compute_patches
from training.evaluation.recognition import find_recognizer
from training.evaluation.transcripts import normalized_words, word_errors
from training.trainer.training_run import append_json

MIN_WORDS = 4


class TrainedCodec:
    """The codec as trained so far, applied to whole clips."""

    def __init__(self, work: Path) -> None:
        self._autoencoder = load_autoencoder(work)
        self._encoder, self._decoder = Encoder(read_codec_config()).eval(), Decoder(read_codec_config()).eval()
        for half, folder in ((self._encoder, "encoder"), (self._decoder, "decoder")):
            path = work / "codec" / folder / "checkpoint.pt"
            half.load_state_dict(averaged_weights(path) or half.state_dict())

    @torch.inference_mode()
    def reconstructions(self, clip: Clip) -> dict[str, NDArray[np.float32]]:
        """The clip itself (`teacher`), and its reconstructions from both kinds of latents."""
        audio = torch.from_numpy(clip.audio[: clip.samples // FRAME_SAMPLES * FRAME_SAMPLES])
        autoencoder_latents = encode(self._autoencoder, compute_patches(audio[None])[0])
        encoder_latents = self._encoder(audio[None])[0]
        return {
            "teacher": audio.numpy(),
            "autoencoder": self._decoder(autoencoder_latents[None])[0].numpy(),
            "codec": self._decoder(encoder_latents[None])[0].numpy(),
        }


def word_error_rates(work: Path, count: int) -> dict[str, float]:
    sentences = (work / "text/sentences.txt").read_text(encoding="utf-8").splitlines()
    clips = read_clips(work / "speech", voices_of(work / "speech"), validation=True)
    clips = [clip for clip in clips if len(sentences[clip.sentence].split()) >= MIN_WORDS]
    codec, recognizer = TrainedCodec(work), find_recognizer()
    errors: dict[str, int] = {}
    words = 0
    for clip in random.Random(0).sample(clips, min(count, len(clips))):
        reference = normalized_words(sentences[clip.sentence])
        words += len(reference)
        for name, audio in codec.reconstructions(clip).items():
            transcript = normalized_words(recognizer.transcribe(audio, 24_000))
            errors[name] = errors.get(name, 0) + word_errors(reference, transcript)
    return {name: count / words for name, count in errors.items()}


def steps_of(run: Path) -> int:
    """The step of a training's last checkpoint."""
    path = run / "checkpoint.pt"
    return int(torch.load(path, weights_only=True, map_location="cpu")["step"]) if path.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure word error rates of reconstructed speech.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--clips", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rates = word_error_rates(options.work, options.clips)
    steps = {half: steps_of(options.work / "codec" / half) for half in ("encoder", "decoder")}
    append_json(options.work / "codec/word_errors.jsonl", {**steps, **rates})
    print(" ".join(f"{name} {rate:.3f}" for name, rate in rates.items()))


if __name__ == "__main__":
    main()
