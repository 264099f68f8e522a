"""Find a checkpoint: embedded, published, or one's own. Knows nothing of what is in its files.

`auto` prefers Kyutai's English model, but never lets a hub that is slow or away keep anyone from speaking.
"""

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from huggingface_hub import constants

from sayline_tts.engine.checkpoint import catalogue
from sayline_tts.engine.checkpoint.alignment_heads import AlignmentHeads, read_heads
from sayline_tts.engine.checkpoint.config import Config, load_config
from sayline_tts.engine.checkpoint.resource import beside, cached, fetch, is_remote
from sayline_tts.engine.errors import CheckpointError, HubError, HubGated, InputError, UnknownVoice

EMBEDDED = Path(__file__).parent / "embedded"
EMBEDDED_VOICE = "clara"
PREFERRED = "english"
HUB_PATIENCE_S = 3.0
KYUTAI = f"`--variant {PREFERRED}` takes Kyutai's English model"


@dataclass(frozen=True)
class Checkpoint:
    """A model's files on this machine, and why it is this one that speaks (`reason`, for people)."""

    name: str
    config: Config
    weights: Path
    tokenizer: Path
    can_clone: bool
    reason: str
    voice_folder: Path | None = None  # None: the published voices, on the hub
    known_heads: AlignmentHeads | None = None

    @cached_property
    def heads(self) -> AlignmentHeads | None:
        """That say which word is being spoken. Raises `CheckpointError` for a file of them that cannot be used."""
        return read_heads(self.weights, self.config.flow_lm.transformer) or self.known_heads

    def voices(self) -> tuple[str, ...]:
        if self.voice_folder is None:
            return catalogue.voice_names()
        return tuple(sorted(file.stem for file in self.voice_folder.glob("*.safetensors")))

    def voice_source(self, name: str) -> str:
        """What `fetch` takes for the state of a voice. Raises `UnknownVoice`, which lists those there are."""
        if name not in self.voices():
            known = ", ".join(self.voices()) or "none; give an audio or .safetensors file instead"
            raise UnknownVoice(f"no voice {name!r} for the model {self.name}; there are: {known}")
        if self.voice_folder is None:
            return catalogue.voice_state(self.name, name)
        return str(self.voice_folder / f"{name}.safetensors")

    @property
    def default_voice(self) -> str:
        """Empty when the model has no voices of its own."""
        if self.voice_folder is None:
            return catalogue.default_voice(self.name)
        if self.voice_folder.parent == EMBEDDED:
            return EMBEDDED_VOICE
        return next(iter(self.voices()), "")


def find_checkpoint(variant: str = "auto", config: str | Path | None = None) -> Checkpoint:
    """The checkpoint of a published variant, `embedded`, `auto`, or the one that a config's path or URL names.

    Raises `UnknownVariant`, `HubGated`, `HubError`, `ConfigError`, `CheckpointError`; under `auto` none of them.
    """
    if config is not None:
        if variant != "auto":
            raise InputError(f"give either the variant {variant!r} or the config {str(config)!r}, not both")
        return _own(str(config))
    if variant == "auto":
        return _preferred()
    if variant == "embedded":
        return _embedded(f"as asked; {KYUTAI}")
    try:
        return _published(catalogue.variant_name(variant))
    except HubError as error:
        raise type(error)(f"{error}; or take `--variant embedded`, which needs no hub") from error


def _own(source: str) -> Checkpoint:
    path = fetch(source) if is_remote(source) else Path(source).expanduser()
    config = load_config(path)
    weights, obstacle = _weights(config, source)
    return Checkpoint(
        name=Path(source.partition("@")[0]).stem,
        config=config,
        weights=weights,
        tokenizer=fetch(beside(source, config.flow_lm.lookup_table.tokenizer_path)),
        can_clone=not obstacle,
        reason=f"the model of {source}, as asked" + _cloning(obstacle),
        voice_folder=path.parent / "voices",
    )


def _embedded(why: str) -> Checkpoint:
    own = _own(str(EMBEDDED / "config.yaml"))
    return replace(own, name="embedded", reason=f"the small voice that comes with Sayline, {why}")


def _published(name: str) -> Checkpoint:
    config = catalogue.variant_config(name)
    # The tokenizer first: it is small, so whatever is wrong with the hub shows at once.
    tokenizer = fetch(config.flow_lm.lookup_table.tokenizer_path)
    weights, obstacle = _weights(config, "")
    reason = f"Kyutai's {name}{_cloning(obstacle)}"
    heads = catalogue.alignment_heads(name)
    return Checkpoint(name, config, weights, tokenizer, can_clone=not obstacle, reason=reason, known_heads=heads)


def _weights(config: Config, near: str) -> tuple[Path, str]:
    """The weights, and what keeps us from those that can clone voices (nothing: "")."""
    full, plain = config.weights_path, config.weights_path_without_voice_cloning
    if full is None:
        if plain is None:
            raise CheckpointError("the config names no weights; set weights_path in it")
        return fetch(beside(near, plain)), "its config names no weights that can"
    try:
        return fetch(beside(near, full)), ""
    except HubError as error:
        if plain is None or not (isinstance(error, HubGated) or cached(beside(near, plain))):
            raise
        return fetch(beside(near, plain)), str(error)


def _cloning(obstacle: str) -> str:
    return f", without voice cloning: {obstacle}" if obstacle else ""


def _preferred() -> Checkpoint:
    config = catalogue.variant_config(PREFERRED)
    held = _held(config)
    if held is not None:
        return held
    obstacle = hub_obstacle(config)
    if not obstacle:
        try:
            found = _published(PREFERRED)
            return replace(found, reason=f"{found.reason}; `--variant embedded` takes the small one")
        except HubError as error:
            obstacle = str(error)
    return _embedded(f"because Kyutai's cannot be had: {obstacle}. {KYUTAI} once that is mended")


def _held(config: Config) -> Checkpoint | None:
    """The preferred model, if all its files are in the cache already."""
    full = cached(config.weights_path or "")
    weights = full or cached(config.weights_path_without_voice_cloning or "")
    tokenizer = cached(config.flow_lm.lookup_table.tokenizer_path)
    if weights is None or tokenizer is None:
        return None
    obstacle = "" if full else f"those weights are not in the cache; `--variant {PREFERRED}` asks the hub for them"
    reason = f"Kyutai's {PREFERRED}, found in the cache{_cloning(obstacle)}; `--variant embedded` takes the small one"
    heads = catalogue.alignment_heads(PREFERRED)
    return Checkpoint(
        PREFERRED, config, weights, tokenizer, can_clone=full is not None, reason=reason, known_heads=heads
    )


def hub_obstacle(config: Config) -> str:
    """What stands between us and the preferred model; "" when the hub offers it."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set and it is not in the cache"
    answers: list[str] = []
    # In a thread, because looking up the hub's address has no time limit of its own.
    asking = threading.Thread(target=lambda: answers.append(_ask(config)), daemon=True, name="ask-hub")
    asking.start()
    asking.join(HUB_PATIENCE_S)
    return answers[0] if answers else f"{constants.ENDPOINT} did not answer within {HUB_PATIENCE_S:.0f} s"


def _ask(config: Config) -> str:
    from sayline_tts.engine.checkpoint.hub import HubFile

    sources = [config.weights_path, config.weights_path_without_voice_cloning]
    files = [HubFile.parse(source) for source in sources if source]
    for file in files:
        try:
            file.ask()
        except HubGated as error:
            obstacle = str(error)
        except HubError as error:
            return str(error)
        else:
            return ""
    return obstacle
