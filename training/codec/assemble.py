"""Stage 3f: assemble encoder and decoder in the format that the engine and the reference load.

    python -m training.codec.assemble --work DIR

`--from CONFIG`: take a half that was not trained here from this checkpoint. Writes `codec/frozen/codec.safetensors` and
`mimi.yaml`; may be repeated while the trainings continue.
"""

import argparse
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from training.codec.network import Decoder, Encoder
from training.codec.train_decoder import CONFIG_FILE, read_codec_config
from training.export import load_checkpoint


def averaged_weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a training's checkpoint; empty if there is none."""
    if not path.exists():
        return {}
    state: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")["average"]
    return {name.removeprefix("network."): tensor for name, tensor in state.items()}


def assemble_codec(work: Path, checkpoint: Path | None = None) -> dict[str, Tensor]:
    """Tensors of both halves under the published names.

    A half without a training here has the weights of `checkpoint`, or random ones.
    """
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {}
    encoder = load_checkpoint.load_encoder(checkpoint) if checkpoint else Encoder(read_codec_config())
    decoder = load_checkpoint.load_decoder(checkpoint) if checkpoint else Decoder(read_codec_config())
    for half, folder in ((encoder, "encoder"), (decoder, "decoder")):
        half.load_state_dict(averaged_weights(work / "codec" / folder / "checkpoint.pt") or half.state_dict())
        tensors |= {f"mimi.{name}": tensor.contiguous() for name, tensor in half.state_dict().items()}
    return tensors


def write_codec(work: Path, checkpoint: Path | None = None) -> None:
    out = work / "codec/frozen"
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(out / "mimi.yaml", CONFIG_FILE.read_bytes())
    atomic_write(out / "codec.safetensors", safetensors.torch.save(assemble_codec(work, checkpoint)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Assemble the codec from its trained halves.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument(
        "--from", dest="checkpoint", type=Path, help="config of the checkpoint that training started from"
    )
    options = parser.parse_args()
    write_codec(options.work, options.checkpoint)


if __name__ == "__main__":
    main()
