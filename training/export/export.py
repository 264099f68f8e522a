"""Stage 5a: export FlowLM, codec, tokenizer and voices as one checkpoint in the published format.

    python -m training.export.export --work DIR --out OUT

Auxiliary heads are left out. Weights are stored in half precision, except for `FLOAT32_TENSORS`, which scale or decide.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import safetensors.torch
import torch
import yaml
from torch import Tensor

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.checkpoint.prompt_limit import CLONING_FILE
from sayline_tts.engine.models.model import Model
from training.data.clips import voices_of
from training.data.tokenizer import SubwordTokenizer
from training.flow_lm import batches
from training.flow_lm.auxiliary_heads import ALIGNMENT_LAYERS
from training.flow_lm.examples import FRAMES_PER_SECOND, Example, read_examples, read_sentences
from training.flow_lm.train import read_flow_lm_config, with_layers

END_THRESHOLD = -0.5
FRAMES_AFTER_END = 2
TEMPERATURE = 0.0  # the synthesizers are deterministic; noise only makes words less clear
FLOAT32_TENSORS = ("emb_mean", "emb_std", "out_eos", "bos_emb", "final_layer.linear", "layer_scale", "freqs")
# The alignment head, supervised by the auxiliary losses: "layer.head".
ALIGNMENT = {"heads": f"{ALIGNMENT_LAYERS[-1]}.0", "lead_ms": 0.0, "score": None}
PROMPT_FRAMES = range(36, 46)  # about three seconds
MAX_PROMPT_S = batches.PROMPT_FRAMES[1] // FRAMES_PER_SECOND  # as in training


def to_half_precision(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert to half precision, except for `FLOAT32_TENSORS`."""
    return {
        name: (tensor if any(part in name for part in FLOAT32_TENSORS) else tensor.half()).contiguous()
        for name, tensor in tensors.items()
    }


def write_checkpoint(folder: Path, flow_lm: dict[str, Tensor], shape: dict[str, object], mimi: dict[str, Tensor],
                     codec_shape: dict[str, object], tokenizer: Path) -> Path:  # fmt: skip
    """Write weights, tokenizer and config; returns the path of the config.

    The tensor names of `flow_lm` have no prefix; those of `mimi` do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"flow_lm.{name}": tensor for name, tensor in flow_lm.items()} | mimi
    atomic_write(folder / "model.safetensors", safetensors.torch.save(to_half_precision(tensors)))
    atomic_write(folder / "tokenizer.model", tokenizer.read_bytes())
    config = {
        "weights_path": "model.safetensors",
        "weights_path_without_voice_cloning": "model.safetensors",
        "default_temperature": TEMPERATURE,
        "default_eos_threshold": END_THRESHOLD,
        "model_recommended_frames_after_eos": FRAMES_AFTER_END,
        "replace_characters": {"\u2013": ",", "\u2014": ",", "\u2019": "'", "\u2018": "'"},
        "flow_lm": shape,
        "mimi": codec_shape,
    }
    atomic_write(folder / CLONING_FILE, yaml.safe_dump({"max_prompt_s": MAX_PROMPT_S}).encode())
    path = folder / "config.yaml"
    atomic_write(path, yaml.safe_dump(config, sort_keys=False).encode())
    return path


def prompt_candidates(examples: Iterable[Example]) -> Iterator[Tensor]:
    """Latents `[frames, dim]` of the examples whose length suits a voice prompt."""
    return (torch.from_numpy(example.latents).float() for example in examples if example.frames in PROMPT_FRAMES)


def write_voice(model: Model, vectors: Tensor, path: Path) -> None:
    """Write FlowLM's state after a prompt of these embeddings, `[positions, width]`, as a voice file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        # Voice files are float32: the reference accepts nothing else.
        atomic_write(path, model.voice_from_embeddings(vectors).to_bytes())


def export(work: Path, run: str, out: Path) -> None:
    tokenizer = work / "flow/tokenizer.model"
    state = torch.load(work / "flow" / run / "checkpoint.pt", weights_only=True, map_location="cpu")
    flow_lm = {name.removeprefix("network."): tensor for name, tensor in state["average"].items()}
    mimi = safetensors.torch.load_file(work / "codec/frozen/codec.safetensors")
    codec_shape = yaml.safe_load((work / "codec/frozen/mimi.yaml").read_text(encoding="utf-8"))
    layers = len({name.split(".")[2] for name in flow_lm if name.startswith("transformer.layers.")})
    config = with_layers(read_flow_lm_config(SubwordTokenizer(tokenizer).vocabulary_size), layers)
    shape = config.model_dump(exclude_none=True)
    path = write_checkpoint(out, flow_lm, shape, mimi, codec_shape.get("mimi", codec_shape), tokenizer)
    model = Model.load(find_checkpoint(config=path), precision="float32")
    sentences = read_sentences(work)
    for voice in voices_of(work / "speech"):
        with torch.inference_mode():
            vectors = model.flow_lm.embed_voice(next(prompt_candidates(read_examples(work, voice, 0, sentences))))
        write_voice(model, vectors, out / "voices" / f"{voice}.safetensors")
    megabytes = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6
    atomic_write(out / "alignment.yaml", yaml.safe_dump(ALIGNMENT, sort_keys=False).encode())
    print(f"{out}: FlowLM of step {state['step']}, {len(model.checkpoint.voices())} voices, {megabytes:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description="Export a checkpoint in the published format.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--run", default="main", help="name of the FlowLM training")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    args = parser.parse_args()
    export(args.work, args.run, args.out)


if __name__ == "__main__":
    main()
