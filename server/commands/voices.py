"""`sayline voices`: who can speak, with which models. Loads no model, downloads nothing."""

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
    str, typer.Option(metavar="NAME", help="Whose voices: a published model, embedded, or auto for those of both.")
]
Variants = Annotated[bool, typer.Option("--variants", help="List the published models instead.")]

AUTO = """\
auto, which is what generate and serve take when --variant is not given, is {preferred} where its files are here or \
can be downloaded, and embedded otherwise. Any 5 to 30 s of clear speech is a voice too, where cloning works: give \
its path or URL as the name."""


def voices(variant: VariantName = "auto", variants: Variants = False) -> None:
    """List the voices that come with a model, and whether it can clone others.

    Nothing is downloaded for it.
    """
    if variants:
        _print_variants()
        return
    from sayline_tts.engine.checkpoint.checkpoint import PREFERRED

    if variant != "auto":
        _print_voices(variant)
        return
    for name in ("embedded", PREFERRED):
        _print_voices(name)
    typer.echo(textwrap.fill(AUTO.format(preferred=PREFERRED), 100))


def _print_voices(variant: str) -> None:
    from sayline_tts.engine.checkpoint import catalogue
    from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint

    if variant == "embedded":
        checkpoint = find_checkpoint("embedded")  # its files are in the package
        names, default = checkpoint.voices(), checkpoint.default_voice
        cloning = "works" if checkpoint.can_clone else "does not work"
    else:
        variant = catalogue.variant_name(variant)
        names, default = catalogue.voice_names(), catalogue.default_voice(variant)
        cloning = _cloning(catalogue.variant_config(variant))
    listed = ", ".join([f"{default} (default)", *(name for name in names if name != default)])
    typer.echo(f"{variant}")
    for topic, content in (("voices", listed), ("cloning", cloning)):
        typer.echo(textwrap.fill(content, 100, initial_indent=f"  {topic:8} ", subsequent_indent=" " * 11))
    typer.echo()


def _cloning(config: "Config") -> str:
    from sayline_tts.engine.checkpoint.hub import HubFile
    from sayline_tts.engine.checkpoint.resource import cached

    if config.weights_path is None:
        return "does not work"
    if cached(config.weights_path):
        return "works"
    repository = HubFile.parse(config.weights_path).repo
    return (
        f"needs the weights of {repository}, which are not on this machine yet: "
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
        millions = f"{_spoken_parameters(config) / 1e6:.1f} M"
        language = name.partition("_")[0].capitalize()
        table.add_row(name, language, millions, str(flow_lm.transformer.num_layers), flow_lm.flow.type)
    Console().print(table)
    typer.echo("Parameters are those that speaking takes: without the part of the codec that only cloning needs.")


def _spoken_parameters(config: "Config") -> int:
    import torch

    from sayline_tts.engine.models.flow_lm import FlowLM
    from sayline_tts.engine.models.mimi import Mimi

    with torch.device("meta"):  # shapes without memory
        flow_lm, mimi = FlowLM(config), Mimi(config.mimi)
    spoken = [flow_lm, mimi.quantizer, mimi.upsample, mimi.decoder_transformer, mimi.decoder]
    return sum(parameter.numel() for module in spoken for parameter in module.parameters())
