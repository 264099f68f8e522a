"""Stage 3e: teach the codec's encoder to hear a sound as the sketch would write it down.

    python -m training.codec.encoder --work DIR

Only cloning and fine-tuning need it. Nothing waits for it, as all speech is encoded by the sketch.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from training.codec.codec_crops import CodecCrops, joined, own_and_strange
from training.codec.codec_network import Encoder
from training.codec.decoder import read_shape
from training.data.clips import voices_of
from training.export import load_checkpoint
from training.trainer.matmul_precision import quick_products
from training.trainer.schedule import set_rate
from training.trainer.trainer import Run
from training.trainer.weight_averaging import Average

FRAMES = 13
STRANGE_ROWS = 3  # more in a batch are of strangers: whoever is cloned is somebody else
VALIDATION_STEPS = 500
VALIDATION_BATCHES = 8


def error(encoder: Encoder, sound: Tensor, latents: Tensor) -> Tensor:
    """Mean square, in a latent's variance. The first frame knows nothing of what was before and does not count."""
    with quick_products():
        heard = encoder(sound)
        off: Tensor = heard.float() - latents
    return off[:, 1:].square().mean()


def train(work: Path, steps: int, rate: float, rows: int, checkpoint: Path | None = None) -> None:
    torch.manual_seed(0)
    encoder = load_checkpoint.encoder(checkpoint) if checkpoint else Encoder(read_shape())
    average = Average(encoder, Encoder(read_shape()))
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=rate, betas=(0.9, 0.98))
    run = Run(work / "codec/encoder", {"encoder": encoder, "average": average, "optimizer": optimizer})
    crops, strange = own_and_strange(work, FRAMES, rows, STRANGE_ROWS)
    unseen = CodecCrops(work, voices_of(work / "speech"), FRAMES, 2 * rows, validation=True)
    held_out = [unseen.batch(seed) for seed in range(VALIDATION_BATCHES)]
    print(f"{len(crops)} clips, from step {run.step}", flush=True)
    while run.step < steps:
        set_rate(optimizer, rate, run.step, steps)
        sound, latents, _ = joined(crops.batch(run.step), strange.batch(run.step))
        loss = error(encoder, sound, latents)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        average.update(encoder, run.step)
        run.advance({"error": float(loss.detach())})
        if run.step % VALIDATION_STEPS == 0:
            with torch.no_grad():
                errors = [float(error(average.network, sound, latents)) for sound, latents, _ in held_out]
            run.report("validation", {"error": sum(errors) / len(errors)})
    run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description="Teach the encoder to hear as the sketch does.")
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rows", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--from", dest="checkpoint", type=Path, help="config of the checkpoint to begin with")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.work, options.steps, options.rate, options.rows, options.checkpoint)


if __name__ == "__main__":
    main()
