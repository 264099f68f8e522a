"""Stage 3e: teach the codec's encoder to hear a sound as the sketch would write it down.

    python -m training.encoder --work DIR

Only cloning needs it. Nothing waits for it, as all speech is encoded by the sketch.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from training.average import Average
from training.codec_crops import CodecCrops
from training.codec_network import Encoder
from training.data import Crops, read_clips, voices_of
from training.decoder import read_shape
from training.latents import load_sketch
from training.run import Run
from training.schedule import set_rate
from training.sketch_network import PAST_PATCHES, Sketch
from training.spectra import patches

FRAMES = 13
STRANGE_ROWS = 3  # more in a batch, played faster or slower: whoever is cloned is somebody else
LABEL_HOP_S = 0.02
VALIDATION_STEPS = 500
VALIDATION_BATCHES = 8


def error(encoder: Encoder, sound: Tensor, latents: Tensor) -> Tensor:
    """Mean square, in a latent's variance. The first frame knows nothing of what was before and does not count."""
    with torch.autocast("cpu", torch.bfloat16):
        heard = encoder(sound)
        off: Tensor = heard.float() - latents
    return off[:, 1:].square().mean()


@torch.no_grad()
def strange(crops: Crops, sketch: Sketch, seed: int) -> tuple[Tensor, Tensor]:
    """Sound `[rows, samples]` of speakers that are not there, and their latents."""
    sound = torch.from_numpy(crops.batch(seed, LABEL_HOP_S)[0])
    seen = patches(sound)
    return sound, sketch.encode(torch.cat([seen[:, :PAST_PATCHES], seen], 1))


def train(work: Path, steps: int, rate: float, rows: int) -> None:
    torch.manual_seed(0)
    shape, sketch = read_shape(), load_sketch(work)
    encoder = Encoder(shape)
    average = Average(encoder, Encoder(shape))
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=rate, betas=(0.9, 0.98))
    run = Run(work / "codec/encoder", {"encoder": encoder, "average": average, "optimizer": optimizer})
    crops, others = CodecCrops(work, FRAMES, rows), read_clips(work / "speech", voices_of(work / "speech"))
    changed = Crops(others, FRAMES, STRANGE_ROWS, changed_speakers=1.0)
    unseen = CodecCrops(work, FRAMES, 2 * rows, validation=True)
    held_out = [unseen.batch(seed) for seed in range(VALIDATION_BATCHES)]
    print(f"{len(crops)} clips, from step {run.step}", flush=True)
    while run.step < steps:
        set_rate(optimizer, rate, run.step, steps)
        sound, latents, _ = crops.batch(run.step)
        more_sound, more_latents = strange(changed, sketch, run.step)
        loss = error(encoder, torch.cat([sound, more_sound]), torch.cat([latents, more_latents]))
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
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options.work, options.steps, options.rate, options.rows)


if __name__ == "__main__":
    main()
