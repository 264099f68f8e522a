"""Stage 5: FlowLM, codec, tokenizer and voices as one checkpoint in the published format, `python -m training.export.export`.

What only helped training is left out. Weights are kept in half precision; those that decide or scale stay as they are.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import safetensors.torch
import torch
import yaml
from torch import Tensor

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.models.model import Model
from training.data.clips import voices_of
from training.data.files import write_whole
from training.data.subwords import PieceCutter
from training.flow_lm.auxiliary_heads import LOOKING_LAYERS
from training.flow_lm.flow_clips import Clip, read_clips, read_sentences
from training.flow_lm.train import read_shape

END_THRESHOLD = -0.5
FRAMES_AFTER_END = 2
TEMPERATURE = 0.0  # the teachers always say the same; noise only makes words less clear
KEPT_WHOLE = ("emb_mean", "emb_std", "out_eos", "bos_emb", "final_layer.linear", "layer_scale", "freqs")
# Which attention head looks at the word that is being spoken, as `flow_helpers` taught it: "layer.head".
ALIGNMENT = {"heads": f"{LOOKING_LAYERS[-1]}.0", "lead_ms": 0.0, "score": None}
PROMPT_FRAMES = range(36, 46)  # some three seconds


def half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In half precision, where it does no harm."""
    return {
        name: (tensor if any(part in name for part in KEPT_WHOLE) else tensor.half()).contiguous()
        for name, tensor in tensors.items()
    }


def write_checkpoint(folder: Path, flow_lm: dict[str, Tensor], shape: dict[str, object], mimi: dict[str, Tensor],
                     codec_shape: dict[str, object], tokenizer: Path) -> Path:  # fmt: skip
    """Names of `flow_lm` are without their part's, those of `mimi` with it. Returns the path of the config."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"flow_lm.{name}": tensor for name, tensor in flow_lm.items()} | mimi
    write_whole(folder / "model.safetensors", safetensors.torch.save(half(tensors)))
    write_whole(folder / "tokenizer.model", tokenizer.read_bytes())
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
    path = folder / "config.yaml"
    write_whole(path, yaml.safe_dump(config, sort_keys=False).encode())
    return path


def prompts_of(clips: Iterable[Clip]) -> Iterator[Tensor]:
    """The latents `[frames, dim]` that a speaker's voice may be made from: those of clips of a usual length."""
    return (torch.from_numpy(clip.latents).float() for clip in clips if clip.frames in PROMPT_FRAMES)


def write_voice(model: Model, vectors: Tensor, path: Path) -> None:
    """What FlowLM holds behind a prompt of these vectors, `[positions, width]`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.inference_mode():
        write_whole(path, model.remember(vectors).to_bytes())  # float32: the reference takes nothing else


def export(work: Path, run: str, out: Path) -> None:
    tokenizer = work / "flow/tokenizer.model"
    state = torch.load(work / "flow" / run / "checkpoint.pt", weights_only=True, map_location="cpu")
    flow_lm = {name.removeprefix("network."): tensor for name, tensor in state["average"].items()}
    mimi = safetensors.torch.load_file(work / "codec/frozen/codec.safetensors")
    codec_shape = yaml.safe_load((work / "codec/frozen/mimi.yaml").read_text(encoding="utf-8"))
    shape = read_shape(PieceCutter(tokenizer).count).model_dump(exclude_none=True)
    config = write_checkpoint(out, flow_lm, shape, mimi, codec_shape.get("mimi", codec_shape), tokenizer)
    model = Model.load(find_checkpoint(config=config), precision="float32")
    sentences = read_sentences(work)
    for voice in voices_of(work / "speech"):
        with torch.inference_mode():
            vectors = model.flow_lm.embed_voice(next(prompts_of(read_clips(work, voice, 0, sentences))))
        write_voice(model, vectors, out / "voices" / f"{voice}.safetensors")
    megabytes = sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) / 1e6
    write_whole(out / "alignment.yaml", yaml.safe_dump(ALIGNMENT, sort_keys=False).encode())
    print(f"{out}: FlowLM of step {state['step']}, {len(model.checkpoint.voices())} voices, {megabytes:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--run", default="main", help="which training of FlowLM")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    args = parser.parse_args()
    export(args.work, args.run, args.out)


if __name__ == "__main__":
    main()
