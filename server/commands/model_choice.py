"""Options that choose a model, and loading of models and voices for commands."""

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
    "Model: the name of a published one (see sayline voices --variants), embedded (the small model included in "
    "Sayline), or auto: Kyutai's English model if available, else the embedded one."
)
Variant = Annotated[str, typer.Option(metavar="NAME", help=WHICH_MODEL)]
Config = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Path or URL of a custom model's YAML file, in the published format; replaces --variant."
    ),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="Torch device: cpu, cuda, cuda:1 ...")]
Threads = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Threads for one forward pass of a network; several passes run in parallel."),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="float32, bfloat16, int8, or auto: the fastest on this machine without audible loss."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")]


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
        """Load the model and print which weights it has. Returns it with the load time in s. Raises `InputError`."""
        start = time.monotonic()
        terminal.print_status("Loading the model ...")
        import torch

        from sayline_tts.engine.tts_model import TTSModel

        terminal.configure_libraries()
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
        terminal.print_status(f"Weights: {model.reason}")
        return model, time.monotonic() - start


def check_voice(source: str) -> None:
    """Check a path early, before the model is loaded or downloaded. Names are checked by the model."""
    if "://" in source:
        return
    path = Path(source).expanduser()
    if path.is_dir() and "/" in source:
        raise VoiceError(f"--voice {source} is a folder; give an audio or .safetensors file in it")
    if not path.exists() and ("/" in source or path.suffix):
        raise VoiceError(f"no such file: {source}; check the path of the voice")


def load_voice(model: "TTSModel", source: str | None) -> "VoiceState":
    """Load a voice; None: the model's default. Raises `VoiceError`."""
    source = source or model.default_voice
    if not source:
        raise VoiceError("this model has no default voice; give an audio or .safetensors file with --voice")
    return model.get_state_for_audio_prompt(source)
