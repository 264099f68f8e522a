"""The published Pocket TTS variants and their voices, read from `catalogue.yaml`. No network access."""

import difflib
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.checkpoint.config import Config
from sayline_tts.engine.errors import UnknownVariant, UnknownVoice


def variant_names() -> tuple[str, ...]:
    return tuple(_catalogue()["variants"])


def resolve_variant(name: str) -> str:
    """The published name for a name or an alias. Raises `UnknownVariant`, which suggests and lists names."""
    catalogue = _catalogue()
    published = str(catalogue["aliases"].get(name, name))
    if published in catalogue["variants"]:
        return published
    known = ["auto", "embedded", *catalogue["variants"], *catalogue["aliases"]]
    near = difflib.get_close_matches(name, known, n=3)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnknownVariant(f"no variant {name!r}; {guess}There are: {', '.join(known)}")


def variant_config(name: str) -> Config:
    """The complete config of a published variant; its files are `hf://` sources."""
    return _config(resolve_variant(name))


def alignment_heads(variant: str) -> AlignmentHeads | None:
    """The alignment heads of a published variant, or None if the catalogue lists none."""
    heads = _catalogue()["alignment_heads"].get(resolve_variant(variant))
    return AlignmentHeads.parse(heads) if heads else None


def voice_names() -> tuple[str, ...]:
    return tuple(_catalogue()["voices"])


def voice_state(variant: str, voice: str) -> str:
    """The source of a published voice's state file for one variant; other variants cannot use it."""
    template = _with_full_revision(_catalogue()["voice_state"])
    return "hf://" + template.format(variant=resolve_variant(variant), voice=_checked_voice(voice))


def default_voice(variant: str) -> str:
    """The voice that a variant uses unless a request names one; it depends on the variant's language."""
    language = resolve_variant(variant).partition("_")[0]
    return str(_catalogue()["default_voices"][language])


@cache
def _catalogue() -> dict[str, Any]:
    catalogue: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return catalogue


@cache
def _config(variant: str) -> Config:
    catalogue = _catalogue()
    overrides = dict(catalogue["variants"][variant])
    shape, text, weights, tokenizer = (overrides.pop(key) for key in ("shape", "text", "weights", "tokenizer"))
    config = _deep_merge(_shape_config(shape), _text_rules(text))
    config = _deep_merge(config, overrides)
    with_cloning, without_cloning = catalogue["repositories"].values()
    weights_file = catalogue["weights_file"].format(variant=variant)
    with_revision, without_revision = weights.split()
    table = config["flow_lm"]["lookup_table"]
    if "@" not in tokenizer:
        tokenizer = catalogue["tokenizer_files"][table["tokenizer"]].format(variant=variant) + f"@{tokenizer}"
    table["tokenizer_path"] = _with_full_revision(f"hf://{without_cloning}/{tokenizer}")
    config["weights_path"] = _with_full_revision(f"hf://{with_cloning}/{weights_file}@{with_revision}")
    config["weights_path_without_voice_cloning"] = _with_full_revision(
        f"hf://{without_cloning}/{weights_file}@{without_revision}"
    )
    return Config.model_validate(config)


def _shape_config(name: str) -> dict[str, Any]:
    shape = dict(_catalogue()["shapes"][name])
    base = shape.pop("like", None)
    return _deep_merge(_shape_config(base), shape) if base else shape


def _text_rules(name: str) -> dict[str, Any]:
    rules = dict(_catalogue()["texts"][name])
    replacements = rules.pop("replace")
    return rules | {"replace_characters": {old: new for new, olds in replacements.items() for old in olds}}


def _deep_merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Merge nested mappings into a new one; `override` wins."""
    merged = base | override
    for key in base.keys() & override.keys():
        if isinstance(base[key], dict):
            merged[key] = _deep_merge(base[key], override[key])
    return merged


def _with_full_revision(source: str) -> str:
    """Expand the abbreviated revision of a source, if it has one."""
    path, at, short = source.partition("@")
    if not at:
        return source
    (revision,) = (full for full in _catalogue()["revisions"] if full.startswith(short))
    return f"{path}@{revision}"


def _checked_voice(voice: str) -> str:
    if voice not in _catalogue()["voices"]:
        raise UnknownVoice(f"no published voice {voice!r}; there are: {', '.join(voice_names())}")
    return voice
