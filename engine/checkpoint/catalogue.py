"""What Kyutai publishes: the variants of Pocket TTS and their voices. Facts from `catalogue.yaml`; asks nobody."""

import difflib
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads
from sayline_tts.engine.checkpoint.config import Config
from sayline_tts.engine.errors import UnknownVariant, UnknownVoice


def variant_names() -> tuple[str, ...]:
    return tuple(_facts()["variants"])


def variant_name(name: str) -> str:
    """The published name behind a name or an alias. Raises `UnknownVariant`, which suggests and lists names."""
    facts = _facts()
    published = str(facts["aliases"].get(name, name))
    if published in facts["variants"]:
        return published
    known = ["auto", "embedded", *facts["variants"], *facts["aliases"]]
    near = difflib.get_close_matches(name, known, n=3)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnknownVariant(f"no variant {name!r}; {guess}There are: {', '.join(known)}")


def variant_config(name: str) -> Config:
    """The whole config of a published variant, its files as `hf://` sources."""
    return _config(variant_name(name))


def alignment_heads(variant: str) -> AlignmentHeads | None:
    """Of a published variant, where they are known."""
    heads = _facts()["alignment_heads"].get(variant_name(variant))
    return AlignmentHeads.parse(heads) if heads else None


def voice_names() -> tuple[str, ...]:
    return tuple(_facts()["voices"])


def voice_origin(voice: str) -> str:
    """The recording a published voice was made from, for a model that can clone."""
    return "hf://" + _full(_facts()["voices"][_known(voice)])


def voice_state(variant: str, voice: str) -> str:
    """A published voice as the state of one variant; no other variant can use it."""
    template = _full(_facts()["voice_state"])
    return "hf://" + template.format(variant=variant_name(variant), voice=_known(voice))


def default_voice(variant: str) -> str:
    """Whom a variant speaks as when nobody says: a voice of its language."""
    language = variant_name(variant).partition("_")[0]
    return str(_facts()["default_voices"][language])


@cache
def _facts() -> dict[str, Any]:
    facts: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return facts


@cache
def _config(variant: str) -> Config:
    facts = _facts()
    own = dict(facts["variants"][variant])
    shape, text, weights, tokenizer = (own.pop(key) for key in ("shape", "text", "weights", "tokenizer"))
    built = _merged(_shape(shape), _text(text))
    built = _merged(built, own)
    with_cloning, without_cloning = facts["repositories"].values()
    weights_file = facts["weights_file"].format(variant=variant)
    with_revision, without_revision = weights.split()
    table = built["flow_lm"]["lookup_table"]
    if "@" not in tokenizer:
        tokenizer = facts["tokenizer_files"][table["tokenizer"]].format(variant=variant) + f"@{tokenizer}"
    table["tokenizer_path"] = _full(f"hf://{without_cloning}/{tokenizer}")
    built["weights_path"] = _full(f"hf://{with_cloning}/{weights_file}@{with_revision}")
    built["weights_path_without_voice_cloning"] = _full(f"hf://{without_cloning}/{weights_file}@{without_revision}")
    return Config.model_validate(built)


def _shape(name: str) -> dict[str, Any]:
    shape = dict(_facts()["shapes"][name])
    foundation = shape.pop("like", None)
    return _merged(_shape(foundation), shape) if foundation else shape


def _text(name: str) -> dict[str, Any]:
    rules = dict(_facts()["texts"][name])
    replacements = rules.pop("replace")
    return rules | {"replace_characters": {old: new for new, olds in replacements.items() for old in olds}}


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`, mapping by mapping; neither is changed."""
    both = under | over
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict):
            both[key] = _merged(under[key], over[key])
    return both


def _full(source: str) -> str:
    """A source with its revision, if it has one, written out."""
    path, at, short = source.partition("@")
    if not at:
        return source
    (revision,) = (full for full in _facts()["revisions"] if full.startswith(short))
    return f"{path}@{revision}"


def _known(voice: str) -> str:
    if voice not in _facts()["voices"]:
        raise UnknownVoice(f"no published voice {voice!r}; there are: {', '.join(voice_names())}")
    return voice
