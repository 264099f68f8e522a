"""`sayline voices`: list voices and models. Loads no model and downloads nothing."""

import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sayline_tts.engine.checkpoint.config import Config

EXAMPLES = """Examples:

sayline voices

sayline voices --variant french

sayline voices --variants"""

VariantName = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Model whose voices to list: a published one, embedded, or auto for both default models."
    ),
]
Variants = Annotated[bool, typer.Option("--variants", help="List the published models instead.")]

AUTO = """\
Without --variant, generate and serve use {preferred} if it is on this machine or can be downloaded, and embedded \
otherwise. If cloning works, the path or URL of 5 to 30 s of clear speech can be given as a voice, too."""


def voices(variant: VariantName = "auto", variants: Variants = False) -> None:
    """List a model's voices, and whether it can clone others.

    Nothing is downloaded.
    """
    if variants:
        _print_variants()
        return
    from sayline_tts.engine.checkpoint.checkpoint import DEFAULT_VARIANT

    if variant != "auto":
        _print_voices(variant)
        return
    for name in ("embedded", DEFAULT_VARIANT):
        _print_voices(name)
    typer.echo(textwrap.fill(AUTO.format(preferred=DEFAULT_VARIANT), 100))


def _print_voices(variant: str) -> None:
    from sayline_tts.engine.checkpoint import catalogue
    from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint

    if variant == "embedded":
        checkpoint = find_checkpoint("embedded")  # included in the package
        names, default = checkpoint.voices(), checkpoint.default_voice
        cloning = "works" if checkpoint.can_clone else "does not work"
    else:
        variant = catalogue.resolve_variant(variant)
        names, default = catalogue.voice_names(), catalogue.default_voice(variant)
        cloning = _cloning(catalogue.variant_config(variant))
    listed = ", ".join([f"{default} (default)", *(name for name in names if name != default)])
    typer.echo(f"{variant}")
    for topic, content in (("voices", listed), ("cloning", cloning)):
        typer.echo(textwrap.fill(content, 100, initial_indent=f"  {topic:8} ", subsequent_indent=" " * 11))
    typer.echo()


def _cloning(config: "Config") -> str:
    from sayline_tts.engine.checkpoint.hub import HubFile
    from sayline_tts.engine.checkpoint.resource import cached_copy

    if config.weights_path is None:
        return "does not work"
    if cached_copy(config.weights_path):
        return "works"
    repository = HubFile.parse(config.weights_path).repo
    return (
        f"needs the weights of {repository}, which are not on this machine; "
        f"accept the terms at https://huggingface.co/{repository} and log in with `hf auth login`"
    )


def _print_variants() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from sayline_tts.engine.checkpoint import catalogue

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("variant", "language", "parameters", "layers", "sampler"):
        table.add_column(title, justify="right" if title in ("parameters", "layers") else "left", no_wrap=True)
    for name in catalogue.variant_names():
        config = catalogue.variant_config(name)
        flow_lm = config.flow_lm
        millions = f"{_inference_parameters(config) / 1e6:.1f} M"
        language = name.partition("_")[0].capitalize()
        table.add_row(name, language, millions, str(flow_lm.transformer.num_layers), flow_lm.flow.type)
    Console().print(table)
    typer.echo("Parameters are counted without the part of the codec that only cloning needs.")


def _inference_parameters(config: "Config") -> int:
    import torch

    from sayline_tts.engine.models.flow_lm import FlowLM
    from sayline_tts.engine.models.mimi import Mimi

    with torch.device("meta"):  # shapes without memory
        flow_lm, mimi = FlowLM(config), Mimi(config.mimi)
    used = [flow_lm, mimi.quantizer, mimi.upsample, mimi.decoder_transformer, mimi.decoder]
    return sum(parameter.numel() for module in used for parameter in module.parameters())
