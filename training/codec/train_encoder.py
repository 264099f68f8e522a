"""Stage 3e: train the codec's encoder to produce the latents of the spectral autoencoder from waveforms.

    python -m training.codec.train_encoder --work DIR

Only cloning and fine-tuning need the encoder. No other stage depends on it, because the training speech is encoded by
the spectral autoencoder.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from training.codec.crops import CodecCrops, concat_batches, own_and_augmented_crops
from training.codec.network import Encoder
from training.codec.train_decoder import read_codec_config
from training.data.clips import voices_of
from training.export import load_checkpoint
from training.trainer.device import use_device
from training.trainer.matmul_precision import fast_matmul
from training.trainer.schedule import set_learning_rate
from training.trainer.training_run import TrainingRun
from training.trainer.weight_averaging import AveragedWeights

FRAMES = 13
AUGMENTED_ROWS = 3  # additional rows of augmented speakers in a batch, for cloning unseen speakers
VALIDATION_STEPS = 500
VALIDATION_BATCHES = 8


def error(encoder: Encoder, audio: Tensor, latents: Tensor) -> Tensor:
    """Mean squared error. The first frame lacks its past context and does not count."""
    with fast_matmul():
        difference: Tensor = encoder(audio).float() - latents
    return difference[:, 1:].square().mean()


def train(work: Path, steps: int, rate: float, rows: int, checkpoint: Path | None = None) -> None:
    torch.manual_seed(0)
    encoder = load_checkpoint.load_encoder(checkpoint) if checkpoint else Encoder(read_codec_config())
    average = AveragedWeights(encoder, Encoder(read_codec_config()))
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=rate, betas=(0.9, 0.98))
    run = TrainingRun(work / "codec/encoder", {"encoder": encoder, "average": average, "optimizer": optimizer})
    crops, augmented = own_and_augmented_crops(work, FRAMES, rows, AUGMENTED_ROWS)
    validation_crops = CodecCrops(work, voices_of(work / "speech"), FRAMES, 2 * rows, validation=True)
    validation_batches = [validation_crops.batch(seed) for seed in range(VALIDATION_BATCHES)]
    print(f"{len(crops)} clips, from step {run.step}", flush=True)
    while run.step < steps:
        set_learning_rate(optimizer, rate, run.step, steps)
        audio, latents, _ = concat_batches(crops.batch(run.step), augmented.batch(run.step))
        loss = error(encoder, audio, latents)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        average.update(encoder, run.step)
        run.log_step({"error": float(loss.detach())})
        if run.step % VALIDATION_STEPS == 0:
            with torch.no_grad():
                errors = [float(error(average.network, audio, latents)) for audio, latents, _ in validation_batches]
            run.report("validation", {"error": sum(errors) / len(errors)})
    run.save()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the codec's encoder.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rows", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--from", dest="checkpoint", type=Path, help="config of the checkpoint to start from")
    options = parser.parse_args()
    use_device(options.device, options.threads)
    train(options.work, options.steps, options.rate, options.rows, options.checkpoint)


if __name__ == "__main__":
    main()
