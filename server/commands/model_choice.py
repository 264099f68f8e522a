"""Which model a command loads, and as what voice it speaks: the options for it, and the loading."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayline_tts.engine.errors import VoiceError
from sayline_tts.server.commands.terminal import Terminal

if TYPE_CHECKING:
    from sayline_tts.engine.tts_model import TTSModel, VoiceState

WHICH_MODEL = (
    "Which model: a published one (sayline voices --variants lists them), embedded (the small one that comes "
    "with Sayline), or auto: Kyutai's English model where it can be had, else the embedded one."
)
Variant = Annotated[str, typer.Option(metavar="NAME", help=WHICH_MODEL)]
Config = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A model of your own instead: its YAML file in the published format, or a URL."),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="What computes: cpu, cuda, cuda:1 ...")]
Threads = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Threads for one pass of a network; passes work side by side."),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Compute in float32, bfloat16 or int8; auto: the fastest here of those that sound alike."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


@dataclass(frozen=True)
class ModelChoice:
    variant: str
    config: str | None
    device: str
    threads: int
    precision: str

    def load(
        self,
        terminal: Terminal,
        temperature: float | None = None,
        decode_steps: int = 1,
        noise_clamp: float | None = None,
        eos_threshold: float | None = None,
    ) -> tuple["TTSModel", float]:
        """The model, and the seconds it took. Says which weights those are, and why. Raises `InputError`."""
        start = time.monotonic()
        terminal.tell("Loading the model ...")
        import torch

        from sayline_tts.engine.tts_model import TTSModel

        terminal.hush()
        torch.set_num_threads(min(self.threads, os.cpu_count() or 1))
        model = TTSModel.load_model(
            self.variant,
            self.config,
            temperature,
            decode_steps,
            noise_clamp,
            eos_threshold,
            self.device,
            self.precision,
        )
        terminal.tell(f"Weights: {model.reason}")
        return model, time.monotonic() - start


def check_voice(source: str) -> None:
    """Find a mistake in a path before the model is loaded, or even downloaded. A name is for the model to know."""
    if "://" in source:
        return
    path = Path(source).expanduser()
    if path.is_dir() and "/" in source:
        raise VoiceError(f"{source} is a folder; name an audio or .safetensors file in it")
    if not path.exists() and ("/" in source or path.suffix):
        raise VoiceError(f"there is no file {source}; check the path of the voice")


def load_voice(model: "TTSModel", source: str | None) -> "VoiceState":
    """None is the model's own choice. Raises `VoiceError`."""
    source = source or model.default_voice
    if not source:
        raise VoiceError("this model has no voice of its own; give one: --voice with an audio or .safetensors file")
    return model.get_state_for_audio_prompt(source)
