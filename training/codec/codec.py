"""Stage 3f: put the codec's halves together as the engine and the reference load them.

    python -m training.codec.codec --work DIR

`--from CONFIG`: a half that has no training here is this checkpoint's. Writes `codec/frozen/codec.safetensors` and
`mimi.yaml`; may be repeated while both halves learn on.
"""

import argparse
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from training.codec.codec_network import Decoder, Encoder
from training.codec.decoder import SHAPE, read_shape
from training.data.files import write_whole
from training.export import load_checkpoint


def averaged(path: Path) -> dict[str, Tensor]:
    """What a half's training has averaged so far; empty where it has not begun."""
    if not path.exists():
        return {}
    state: dict[str, Tensor] = torch.load(path, weights_only=True)["average"]
    return {name.removeprefix("network."): tensor for name, tensor in state.items()}


def put_together(work: Path, checkpoint: Path | None = None) -> dict[str, Tensor]:
    """Both halves under the published names. One that has not been trained is the checkpoint's, or as it was born."""
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {}
    encoder = load_checkpoint.encoder(checkpoint) if checkpoint else Encoder(read_shape())
    decoder = load_checkpoint.decoder(checkpoint) if checkpoint else Decoder(read_shape())
    for half, folder in ((encoder, "encoder"), (decoder, "decoder")):
        half.load_state_dict(averaged(work / "codec" / folder / "checkpoint.pt") or half.state_dict())
        tensors |= {f"mimi.{name}": tensor.contiguous() for name, tensor in half.state_dict().items()}
    return tensors


def publish(work: Path, checkpoint: Path | None = None) -> None:
    out = work / "codec/frozen"
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "mimi.yaml", SHAPE.read_bytes())
    write_whole(out / "codec.safetensors", safetensors.torch.save(put_together(work, checkpoint)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Put the codec's halves together.")
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--from", dest="checkpoint", type=Path, help="config of the checkpoint that was begun with")
    options = parser.parse_args()
    publish(options.work, options.checkpoint)


if __name__ == "__main__":
    main()
