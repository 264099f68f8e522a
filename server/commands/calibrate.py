"""`sayline calibrate`: which heads of a model know the word that is being spoken, kept beside its weights."""

from pathlib import Path
from typing import Annotated

import typer

from sayline_tts.engine.errors import InputError
from sayline_tts.server.commands.model_choice import Config, Quiet, Threads, Variant
from sayline_tts.server.commands.terminal import Terminal

EXAMPLES = """Examples:

sayline calibrate --config my-model.yaml

sayline calibrate --variant english_2026-10

sayline calibrate --config mein-modell.yaml --sentences saetze.txt"""

SHOWN = 5
Voice = Annotated[str | None, typer.Option(metavar="NAME", help="Who speaks; the model's own choice otherwise.")]
Sentences = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="What to speak, a sentence a line, for a model that speaks another language."),
]


class CalibrationError(InputError):
    code = "bad_calibration"


def calibrate(
    variant: Variant = "auto",
    config: Config = None,
    voice: Voice = None,
    sentences: Sentences = None,
    threads: Threads = 1,
    quiet: Quiet = False,
) -> None:
    """Find out how a model shows which word it is speaking.

    The model speaks some sentences while all its attention heads are
    watched. The head that follows the words best is written beside the
    weights, with its score; from then on a server tells the true times of
    words. Where no head follows them well, times are estimated as before.
    """
    texts = _read(sentences) if sentences else None
    import torch

    from sayline_tts.engine.checkpoint.alignment_heads import write_heads
    from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
    from sayline_tts.engine.models.model import Model
    from sayline_tts.engine.timing.head_finder import SENTENCES, SURE, find_heads

    terminal = Terminal(quiet)
    torch.set_num_threads(threads)
    model = Model.load(find_checkpoint(variant, config), precision="float32")
    checkpoint = model.checkpoint
    terminal.tell(f"Weights: {checkpoint.reason}")
    found = find_heads(model, model.load_voice(voice or checkpoint.default_voice), texts or SENTENCES)
    try:
        path = write_heads(checkpoint.weights, found.heads if found.sure else None, found.score)
    except OSError as error:
        raise CalibrationError(f"{checkpoint.weights.parent} cannot be written to ({error.strerror})") from error
    best = ", ".join(f"{layer}.{head} {score:.2f}" for (layer, head), score in found.ranking[:SHOWN])
    terminal.tell(f"Best heads (layer.head, share of attention on the word that is spoken): {best}")
    if found.sure:
        typer.echo(f"Head {found.heads} follows the words: {found.score:.2f}. Kept in {path}.")
    else:
        typer.echo(
            f"No head follows the words well enough ({found.score:.2f}, {SURE:.2f} is needed), so times of words stay "
            f"estimates. Kept in {path}."
        )


def _read(path: Path) -> list[str]:
    try:
        texts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path} cannot be read ({error}); give a text file, a sentence a line") from error
    if not texts:
        raise CalibrationError(f"{path} has no sentence in it; write some, one a line")
    return texts
