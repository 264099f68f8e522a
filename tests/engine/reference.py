"""The reference implementation and this one on the same random checkpoint of any published shape."""

import copy
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import sentencepiece
import torch
import yaml
from pocket_tts.models.tts_model import TTSModel as ReferenceModel
from pocket_tts.utils.config import CONFIGS_DIR, Config
from torch import Tensor

from sayline_tts.engine.checkpoint.catalogue import variant_config, variant_names
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.execution.model_runner import BatchOutput
from sayline_tts.engine.scheduling.scheduler import Batch
from sayline_tts.engine.tts_model import TTSModel, VoiceState
from tests.engine.vocabularies import write_as_json

SYLLABLES = [a + b for a in "bdfghklmnprstvw" for b in "aeiou"] + ["the", "and", "ing", "er", "on", "st"]
NEVER, ALWAYS = 1e9, -1e9  # end-of-speech thresholds


@dataclass(frozen=True)
class Shape:
    """What determines a model's arithmetic; many published variants share one."""

    variant: str
    changes: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return "-".join([self.variant, *(str(value) for _, value in self.changes)])


def published_shapes() -> list[Shape]:
    """Return one shape for each arithmetic among the published variants, 24 layers reduced to 3."""
    shapes: dict[str, Shape] = {}
    for name in sorted(variant_names(), key=lambda name: (not name.startswith("english"), name)):
        deep = variant_config(name).flow_lm.transformer.num_layers > 8
        changes = (("transformer.num_layers", 3),) if deep else ()
        shapes.setdefault(arithmetic(name), Shape(name, changes))
    return list(shapes.values())


def arithmetic(variant: str) -> str:
    config = variant_config(variant)
    flow_lm = config.flow_lm.model_copy(
        update={"lookup_table": config.flow_lm.lookup_table.model_copy(update={"tokenizer_path": ""})}
    )
    return f"{flow_lm} {config.mimi}"


def write_checkpoint(shape: Shape, folder: Path, tokenizer: Path) -> Path:
    """Write random weights of this shape in the published format. Returns the path of the config."""
    data = yaml.safe_load((CONFIGS_DIR / f"{shape.variant}.yaml").read_text())
    for key, value in shape.changes:
        place = data["flow_lm"]
        *parents, leaf = key.split(".")
        for parent in parents:
            place = place[parent]
        place[leaf] = value
    kind = data["flow_lm"]["lookup_table"]["tokenizer"]
    path = tokenizer.with_suffix(".json") if kind == "tokenizers" else tokenizer
    data["flow_lm"]["lookup_table"]["tokenizer_path"] = str(path)
    data["weights_path"] = data["weights_path_without_voice_cloning"] = None
    torch.manual_seed(0)
    model = ReferenceModel._from_pydantic_config_with_weights(Config(**data), 0.0, 1, None, NEVER)
    torch.nn.init.normal_(model.flow_lm.speaker_proj_weight, std=0.05)
    weights = folder / "model.safetensors"
    safetensors.torch.save_file(model.state_dict(), weights)
    data["weights_path"] = data["weights_path_without_voice_cloning"] = str(weights)
    (folder / "config.yaml").write_text(yaml.safe_dump(data))
    return folder / "config.yaml"


def write_embedded_config(folder: Path, **changes: object) -> Path:
    """Write the embedded checkpoint's config with absolute paths; `a__b=1` changes key b inside a."""
    config = yaml.safe_load((EMBEDDED / "config.yaml").read_text())
    config["weights_path"] = config["weights_path_without_voice_cloning"] = str(EMBEDDED / "model.safetensors")
    config["flow_lm"]["lookup_table"]["tokenizer_path"] = str(EMBEDDED / "tokenizer.model")
    for key, value in changes.items():
        place = config
        *parents, leaf = key.split("__")
        for parent in parents:
            place = place[parent]
        place[leaf] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


def write_tokenizer(folder: Path) -> Path:
    """Write a tokenizer of 4,000 pieces, as the published models have, in both formats. Returns the `.model`."""
    rng = random.Random(0)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(12000)]
    marks = [".", "!", "?", ", so."]
    corpus = [" ".join(rng.choices(words, k=8)).capitalize() + rng.choice(marks) for _ in range(12000)]
    prefix = folder / "tokenizer"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus),
        model_prefix=str(prefix),
        vocab_size=4000,
        minloglevel=2,
        user_defined_symbols=list(".!?,;:'-"),
    )
    write_as_json(prefix.with_suffix(".model"), prefix.with_suffix(".json"))
    return prefix.with_suffix(".model")


@dataclass(frozen=True)
class Synthesis:
    """What one implementation made of a text."""

    latents: list[Tensor]  # one [frames, dim] for each segment, on the codec's scale
    pcm: Tensor  # [samples]

    @property
    def frames(self) -> list[int]:
        return [len(part) for part in self.latents]


class Pair:
    """Both implementations on one checkpoint, at temperature 0."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.reference = ReferenceModel.load_model(config=config, temp=0.0)
        self._ours: dict[tuple[int, float], TTSModel] = {}

    def ours(self, decode_steps: int = 1, eos_threshold: float = NEVER) -> TTSModel:
        key = (decode_steps, eos_threshold)
        if key not in self._ours:
            first = next(iter(self._ours.values()), None)
            made = (
                TTSModel.load_model(config=self.config, temp=0.0, precision="float32")
                if first is None
                else copy.copy(first)
            )
            sampling = (0.0, None, eos_threshold, decode_steps)
            self._ours[key] = TTSModel(made._model, sampling[0], decode_steps, None, eos_threshold)
        return self._ours[key]

    def reference_speech(self, state: Any, text: str, decode_steps: int = 1, eos_threshold: float = NEVER,
                       **more: Any) -> Synthesis:  # fmt: skip
        model = self.reference
        model.sampler_decode_steps, model.eos_threshold = decode_steps, eos_threshold
        segments: dict[int, list[Tensor]] = {}
        kept_alive = []  # so that no two codec states have the same id
        decode = model.mimi.decode_from_latent

        def record(latents: Tensor, state: Any) -> Tensor:
            kept_alive.append(state)
            segments.setdefault(id(state), []).append(latents[0].clone())
            pcm: Tensor = decode(latents, state)
            return pcm

        model.mimi.decode_from_latent = record
        try:
            pcm = model.generate_audio(state, text, **more)
        finally:
            del model.mimi.decode_from_latent
        return Synthesis([torch.cat(parts) for parts in segments.values()], pcm)

    def own_speech(self, state: VoiceState, text: str, decode_steps: int = 1, eos_threshold: float = NEVER,
                  **more: Any) -> Synthesis:  # fmt: skip
        return synthesize(self.ours(decode_steps, eos_threshold), state, text, **more)


def synthesize(
    model: TTSModel, state: VoiceState, text: str, past: list[Tensor] | None = None, **more: Any
) -> Synthesis:
    """Speak and record the latents. `past`: latents that replace those made here as the input of the next frame."""
    flow_lm = model._model.flow_lm
    segments: list[list[Tensor]] = []
    run = model._engine.run

    def record(batch: Batch) -> BatchOutput:
        output = run(batch)
        if batch.rows[0].prefill is not None:
            segments.append([])
        if output.kept:
            if past is not None:
                forced = past[len(segments) - 1][len(segments[-1])]
                with torch.inference_mode():
                    model._engine._runner._flow.latents[0] = (forced - flow_lm.emb_mean) / flow_lm.emb_std
            segments[-1].append(flow_lm.denormalize(output.latents[0]))
        return output

    model._engine.run = record  # type: ignore[method-assign]
    try:
        pcm = model.generate_audio(state, text, **more)
    finally:
        del model._engine.run
    return Synthesis([torch.stack(parts) for parts in segments], pcm)


@contextmanager
def pair_of(shape: Shape, folder: Path, tokenizer: Path) -> Iterator[Pair]:
    """Yield a pair, and delete its checkpoint afterwards: they are large."""
    folder.mkdir()
    try:
        yield Pair(write_checkpoint(shape, folder, tokenizer))
    finally:
        shutil.rmtree(folder)


def some_audio(seconds: float, seed: int = 0) -> Tensor:
    """Return noise with a spectrum like speech, `[1, samples]` at 24 kHz, peak 0.5."""
    noise = torch.randn(int(24000 * seconds), generator=torch.Generator().manual_seed(seed)).numpy()
    from scipy.signal import butter, lfilter

    b, a = butter(2, [200, 3000], btype="band", fs=24000)
    audio = torch.from_numpy(lfilter(b, a, noise)).float()
    return (0.5 * audio / audio.abs().max())[None]
