"""Locate a checkpoint: the embedded one, a published variant, or a model given by its config.

`auto` prefers Kyutai's English model and falls back to the embedded one if the hub is slow or unreachable.
"""

import hashlib
import re
import threading
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from huggingface_hub import constants

from sayline_tts.engine.checkpoint import catalogue
from sayline_tts.engine.checkpoint.alignment_heads import ALIGNMENT_FILE, AlignmentHeads, read_heads
from sayline_tts.engine.checkpoint.config import Config, load_config
from sayline_tts.engine.checkpoint.prompt_limit import read_max_prompt_s
from sayline_tts.engine.checkpoint.resource import cached_copy, fetch, is_remote, resolve_relative
from sayline_tts.engine.errors import CheckpointError, HubError, HubGated, InputError, UnknownVoice

EMBEDDED = Path(__file__).resolve().parent / "embedded"  # a checkout links to this folder
EMBEDDED_VOICE = "clara"
EMBEDDED_HINT = "`--variant embedded` selects the small one"
DEFAULT_VARIANT = "english"
HUB_TIMEOUT_S = 3.0
SHA256 = re.compile("[0-9a-f]{64}")
DEFAULT_VARIANT_HINT = f"`--variant {DEFAULT_VARIANT}` selects Kyutai's English model"


@dataclass(frozen=True)
class Checkpoint:
    """A model's local files, and why this model was chosen (`reason`, a message for the user).

    `calibrations`: folder of the alignment heads that `sayline calibrate` has found on this machine.
    """

    name: str
    config: Config
    weights: Path
    tokenizer: Path
    can_clone: bool
    reason: str
    voice_folder: Path | None = None  # None: the published voices on the hub
    known_heads: AlignmentHeads | None = None  # from the catalogue
    calibrations: Path | None = None

    @cached_property
    def heads(self) -> AlignmentHeads | None:
        """The alignment heads. Raises `CheckpointError` if an alignment file cannot be used."""
        file = self._alignment_file
        return (read_heads(file, self.config.flow_lm.transformer) if file else None) or self.known_heads

    def with_heads_read_again(self) -> "Checkpoint":
        """The same with the alignment heads that are known by now. Weights that were hashed are not hashed again."""
        same = copy(self)
        same.__dict__.pop("heads", None)
        return same

    @property
    def calibrated(self) -> bool:
        """Whether alignment heads are known, or were looked for."""
        return self.known_heads is not None or self._alignment_file is not None

    @property
    def calibration_file(self) -> Path:
        """Where `sayline calibrate` keeps the heads of these weights."""
        assert self.calibrations is not None
        return self.calibrations / f"{self.weights_sha256[:16]}.yaml"

    @property
    def _alignment_file(self) -> Path | None:
        beside = self.weights.with_name(ALIGNMENT_FILE)
        own = self.calibration_file if self.calibrations and self.calibrations.is_dir() else beside
        return next((file for file in (own, beside) if file.is_file()), None)

    @cached_property
    def max_prompt_s(self) -> float | None:
        """The longest recording that the model can be prompted with; None: any. Raises `CheckpointError`."""
        return read_max_prompt_s(self.weights)

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights file. The hub's cache has it in the name; reading a large file takes a second."""
        path = self.weights.resolve()
        if SHA256.fullmatch(path.name):
            return path.name
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def voices(self) -> tuple[str, ...]:
        if self.voice_folder is None:
            return catalogue.voice_names()
        return tuple(sorted(file.stem for file in self.voice_folder.glob("*.safetensors")))

    def voice_source(self, name: str) -> str:
        """The source of a voice's state file, for `fetch`. Raises `UnknownVoice`, which lists the known voices."""
        if name not in self.voices():
            known = ", ".join(self.voices()) or "none; give an audio or .safetensors file instead"
            raise UnknownVoice(f"no voice {name!r} for the model {self.name}; there are: {known}")
        if self.voice_folder is None:
            return catalogue.voice_state(self.name, name)
        return str(self.voice_folder / f"{name}.safetensors")

    def voice_description(self, name: str) -> str | None:
        """One line about a voice, from the text file next to its state; None if there is none."""
        if self.voice_folder is None:
            return None
        file = self.voice_folder / f"{name}.txt"
        return file.read_text("utf-8").strip() if file.is_file() else None

    @property
    def default_voice(self) -> str:
        """The voice used unless a request names one; "" if the model has no voices."""
        if self.voice_folder is None:
            return catalogue.default_voice(self.name)
        if self.voice_folder.parent == EMBEDDED:
            return EMBEDDED_VOICE
        return next(iter(self.voices()), "")


def find_checkpoint(variant: str = "auto", config: str | Path | None = None) -> Checkpoint:
    """Locate the checkpoint of a published variant, `embedded`, `auto`, or of a config given by path or URL.

    Downloads what is missing. Raises `UnknownVariant`, `HubGated`, `HubError`, `ConfigError`, `CheckpointError`; with
    `auto` none of them.
    """
    if config is not None:
        if variant != "auto":
            raise InputError(f"give either the variant {variant!r} or the config {str(config)!r}, not both")
        return _from_config(str(config))
    if variant == "auto":
        return _auto()
    if variant == "embedded":
        return _embedded(f"as requested; {DEFAULT_VARIANT_HINT}")
    try:
        return _published(catalogue.resolve_variant(variant))
    except HubError as error:
        raise type(error)(f"{error}; or use `--variant embedded`, which needs no hub") from error


def _from_config(source: str) -> Checkpoint:
    path = fetch(source) if is_remote(source) else Path(source).expanduser()
    config = load_config(path)
    weights, obstacle = _find_weights(config, source)
    return Checkpoint(
        name=Path(source.partition("@")[0]).stem,
        config=config,
        weights=weights,
        tokenizer=fetch(resolve_relative(source, config.flow_lm.lookup_table.tokenizer_path)),
        can_clone=not obstacle,
        reason=f"the model of {source}, as requested" + _cloning_note(obstacle),
        voice_folder=path.parent / "voices",
    )


def _embedded(why: str) -> Checkpoint:
    checkpoint = _from_config(str(EMBEDDED / "config.yaml"))
    return replace(checkpoint, name="embedded", reason=f"the small voice that comes with Sayline, {why}")


def _published(name: str) -> Checkpoint:
    config = catalogue.variant_config(name)
    # The tokenizer first: it is small, so a problem with the hub shows at once.
    tokenizer = fetch(config.flow_lm.lookup_table.tokenizer_path)
    weights, obstacle = _find_weights(config, "")
    reason = f"Kyutai's {name}{_cloning_note(obstacle)}"
    heads = catalogue.alignment_heads(name)
    return Checkpoint(name, config, weights, tokenizer, can_clone=not obstacle, reason=reason, known_heads=heads)


def _find_weights(config: Config, source: str) -> tuple[Path, str]:
    """The weights, and why they are not those that can clone voices ("" if they are).

    `source`: the config's own source, which relative paths are resolved against.
    """
    full, plain = config.weights_path, config.weights_path_without_voice_cloning
    if full is None:
        if plain is None:
            raise CheckpointError("the config names no weights; set weights_path in it")
        return fetch(resolve_relative(source, plain)), "its config names no weights that can clone"
    try:
        return fetch(resolve_relative(source, full)), ""
    except HubError as error:
        if plain is None or not (isinstance(error, HubGated) or cached_copy(resolve_relative(source, plain))):
            raise
        return fetch(resolve_relative(source, plain)), str(error)


def _cloning_note(obstacle: str) -> str:
    return f", without voice cloning: {obstacle}" if obstacle else ""


def _auto() -> Checkpoint:
    config = catalogue.variant_config(DEFAULT_VARIANT)
    if (cached := _cached_default(config)) is not None:
        return cached
    obstacle = hub_unavailable_reason(config)
    if not obstacle:
        try:
            found = _published(DEFAULT_VARIANT)
            return replace(found, reason=f"{found.reason}; {EMBEDDED_HINT}")
        except HubError as error:
            obstacle = str(error)
    return _embedded(f"because Kyutai's is unavailable: {obstacle}. {DEFAULT_VARIANT_HINT} once that is fixed")


def _cached_default(config: Config) -> Checkpoint | None:
    """The default variant, if all its files are in the cache."""
    full = cached_copy(config.weights_path or "")
    weights = full or cached_copy(config.weights_path_without_voice_cloning or "")
    tokenizer = cached_copy(config.flow_lm.lookup_table.tokenizer_path)
    if weights is None or tokenizer is None:
        return None
    obstacle = "" if full else f"those weights are not in the cache; `--variant {DEFAULT_VARIANT}` requests them"
    reason = f"Kyutai's {DEFAULT_VARIANT}, found in the cache{_cloning_note(obstacle)}; {EMBEDDED_HINT}"
    heads = catalogue.alignment_heads(DEFAULT_VARIANT)
    return Checkpoint(
        DEFAULT_VARIANT, config, weights, tokenizer, can_clone=full is not None, reason=reason, known_heads=heads
    )


def hub_unavailable_reason(config: Config) -> str:
    """Why the default variant cannot be downloaded now; "" if the hub offers it."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set and it is not in the cache"
    results: list[str] = []
    # In a thread, because resolving the hub's host name has no timeout.
    check = threading.Thread(target=lambda: results.append(_hub_access_error(config)), daemon=True, name="check-hub")
    check.start()
    check.join(HUB_TIMEOUT_S)
    return results[0] if results else f"{constants.ENDPOINT} did not answer within {HUB_TIMEOUT_S:.0f} s"


def _hub_access_error(config: Config) -> str:
    from sayline_tts.engine.checkpoint.hub import HubFile

    sources = [config.weights_path, config.weights_path_without_voice_cloning]
    files = [HubFile.parse(source) for source in sources if source]
    for file in files:
        try:
            file.check_access()
        except HubGated as error:
            obstacle = str(error)
        except HubError as error:
            return str(error)
        else:
            return ""
    return obstacle
