"""`sayline calibrate`: find the attention heads that align with the spoken words, and save them in the data folder."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from sayline_tts.engine.errors import InputError
from sayline_tts.server.commands.data import Data
from sayline_tts.server.commands.model_choice import Config, Quiet, Threads, Variant
from sayline_tts.server.commands.terminal import Terminal

EXAMPLES = """Examples:

sayline calibrate --config my-model.yaml

sayline calibrate --variant english_2026-10

sayline calibrate --config mein-modell.yaml --sentences saetze.txt"""

MAX_HEADS_SHOWN = 5
Voice = Annotated[str | None, typer.Option(metavar="NAME", help="Voice to use; default: the model's.")]
Sentences = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Text file to speak, one sentence per line, for a model of another language."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what was found before without asking.")]


class CalibrationError(InputError):
    code = "bad_calibration"


def calibrate(
    variant: Variant = "auto",
    config: Config = None,
    voice: Voice = None,
    sentences: Sentences = None,
    threads: Threads = 1,
    data: Data = None,
    replace: Replace = False,
    quiet: Quiet = False,
) -> None:
    """Find the attention head that word timestamps can be read from.

    The model speaks some sentences while all attention heads are
    recorded. The head that follows the words best is saved in the data
    folder, with its score, and servers then report measured word times.
    If no head scores well enough, word times stay estimates.
    """
    texts = _read(sentences) if sentences else None
    import torch

    from sayline_tts.engine.checkpoint.alignment_heads import write_heads
    from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
    from sayline_tts.engine.models.model import Model
    from sayline_tts.engine.timing.head_finder import MIN_SCORE, SENTENCES, find_heads
    from sayline_tts.server.settings import Settings

    terminal = Terminal(quiet)
    torch.set_num_threads(threads)
    folder = Settings.load(data=data and str(data)).calibrations_path
    checkpoint = dataclasses.replace(find_checkpoint(variant, config), calibrations=folder)
    path = checkpoint.calibration_file
    if path.exists() and not replace:
        ask_to_replace(path)
    model = Model.load(checkpoint, precision="float32")
    terminal.print_status(f"Weights: {checkpoint.reason}")
    found = find_heads(model, model.load_voice(voice or checkpoint.default_voice), texts or SENTENCES)
    try:
        write_heads(path, checkpoint.weights, found.heads if found.confident else None, found.score)
    except OSError as error:
        raise CalibrationError(
            f"cannot write to {folder} ({error.strerror}); make it writable, or give another --data"
        ) from error
    best = ", ".join(f"{layer}.{head} {score:.2f}" for (layer, head), score in found.ranking[:MAX_HEADS_SHOWN])
    terminal.print_status(f"Best heads (layer.head, share of attention on the spoken word): {best}")
    if found.confident:
        typer.echo(f"Head {found.heads} follows the words with a score of {found.score:.2f}. Saved to {path}.")
    else:
        typer.echo(
            f"No head follows the words closely enough (best {found.score:.2f}, needed {MIN_SCORE:.2f}), so word times "
            f"stay estimates. Saved to {path}."
        )


def ask_to_replace(path: Path) -> None:
    """Ask at the terminal. Raises `CalibrationError` where nobody can answer, `typer.Abort` if the answer is no."""
    if not sys.stdin.isatty():
        raise CalibrationError(f"{path} exists; give --replace to replace it")
    typer.confirm(f"{path} exists. Replace it?", abort=True)


def _read(path: Path) -> list[str]:
    try:
        texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(
            f"cannot read --sentences {path} ({error}); give a UTF-8 file, one sentence per line"
        ) from error
    if not texts:
        raise CalibrationError(f"--sentences {path} is empty; write one sentence per line")
    return texts
