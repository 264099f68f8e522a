"""Convert a checkpoint to the latents of another spectral autoencoder, so that trainings can start from its weights.

    python -m training.export.map_latents --work DIR --from CONFIG --out OUT

Both kinds of latents describe the same 80 ms of speech. Two linear maps between them are fitted by least squares, on
clips encoded with the checkpoint's encoder and with the new autoencoder, and multiplied into every layer that reads or
writes latents. Decoder, encoder and FlowLM can then be trained with `--from OUT/config.yaml`. Prints the fraction of
the variance that each map explains.
"""

import argparse
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from training.data.clips import FRAME_SAMPLES, Clip, read_clips, voices_of
from training.export import load_checkpoint

RIDGE = 1e-3  # of the mean variance
CLIPS = 300


@dataclass(frozen=True)
class LatentMaps:
    """Linear maps between old and new latents, both not normalized, `[32, 32]`; `x @ map.T` maps rows."""

    to_old: Tensor
    to_new: Tensor


def fit_map(source: Tensor, target: Tensor) -> Tensor:
    """The least-squares map of rows of `source` to rows of `target`, without offset (ridge regression)."""
    covariance = source.T @ source / len(source)
    ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance), dtype=source.dtype)
    solution: Tensor = torch.linalg.solve(covariance + ridge, source.T @ target / len(source))
    return solution.T


def explained_variance(source: Tensor, target: Tensor, matrix: Tensor) -> float:
    """Fraction of the target's variance."""
    return 1 - float((target - source @ matrix.T).square().mean() / target.var(0).mean())


def map_weights(weights: dict[str, Tensor], maps: LatentMaps, mean: Tensor, deviation: Tensor) -> dict[str, Tensor]:
    """The tensors of a checkpoint for the new latents, which have this mean and standard deviation."""
    out = dict(weights)
    old_deviation = weights["flow_lm.emb_std"].float()
    to_old = maps.to_old * deviation / old_deviation[:, None]  # between normalized latents
    to_new = maps.to_new * old_deviation / deviation[:, None]

    def replace(name: str, product: Tensor) -> None:
        out[name] = product.to(weights[name].dtype).contiguous()

    for name in ("flow_lm.input_linear.weight", "flow_lm.flow_net.input_proj.weight"):
        replace(name, weights[name].float() @ to_old)
    replace("flow_lm.bos_emb", to_new @ weights["flow_lm.bos_emb"].float())
    replace("flow_lm.speaker_proj_weight", weights["flow_lm.speaker_proj_weight"].float() @ maps.to_old)
    for name in ("flow_lm.flow_net.final_layer.linear.weight", "flow_lm.flow_net.final_layer.linear.bias"):
        replace(name, to_new @ weights[name].float())
    replace("flow_lm.emb_mean", mean)
    replace("flow_lm.emb_std", deviation)
    decoder, encoder = "mimi.quantizer.output_proj.weight", "mimi.downsample.conv.conv.weight"
    replace(decoder, torch.einsum("wok,on->wnk", weights[decoder].float(), maps.to_old))
    replace(encoder, torch.einsum("no,owk->nwk", maps.to_new, weights[encoder].float()))
    return out


@torch.inference_mode()
def paired_latents(work: Path, config: Path, count: int) -> tuple[Tensor, Tensor]:
    """Old and new latents of the same frames of `count` clips, `[frames, 32]` each."""
    encoder = load_checkpoint.load_encoder(config).eval()
    clips = read_clips(work / "speech", voices_of(work / "speech"))
    encoded = [clip for clip in clips if _latents_path(work, clip).exists()]
    old, new = [], []
    for clip in random.Random(0).sample(encoded, min(count, len(encoded))):
        old.append(encoder(torch.from_numpy(clip.audio)[None])[0].double())
        first = clip.first_sample // FRAME_SAMPLES
        latents = np.load(_latents_path(work, clip))["latent"][first : first + clip.samples // FRAME_SAMPLES]
        new.append(torch.from_numpy(latents.astype(np.float64)))
    return torch.cat(old), torch.cat(new)


def map_checkpoint(work: Path, config: Path, out: Path, count: int = CLIPS) -> None:
    """Write config, tokenizer and converted weights to `out`."""
    old, new = paired_latents(work, config, count)
    to_old, to_new = fit_map(new, old), fit_map(old, new)
    print(
        f"{len(old)} frames; explained variance: old latents {explained_variance(new, old, to_old):.3f}, "
        f"new latents {explained_variance(old, new, to_new):.3f}"
    )
    statistics = safetensors.torch.load_file(work / "latents/statistics.safetensors")
    checkpoint = find_checkpoint(config=config)
    weights = safetensors.torch.load_file(checkpoint.weights)
    mapped = map_weights(weights, LatentMaps(to_old.float(), to_new.float()), statistics["mean"], statistics["std"])
    out.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(mapped, out / "model.safetensors")
    for path in (config, checkpoint.tokenizer):
        shutil.copyfile(path, out / path.name)


def _latents_path(work: Path, clip: Clip) -> Path:
    return work / "latents" / clip.voice / f"{clip.shard.name}.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert a checkpoint to the latents of another spectral autoencoder.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--from", dest="checkpoint", type=Path, required=True, help="config of the checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="folder for the converted checkpoint")
    parser.add_argument("--clips", type=int, default=CLIPS, help="number of clips to fit the maps on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    map_checkpoint(options.work, options.checkpoint, options.out, options.clips)


if __name__ == "__main__":
    main()
