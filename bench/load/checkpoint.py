"""The checkpoint to measure, with a voice of 5 s if it has none. Never writes into the user's folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from sayline_tts.engine.checkpoint.resource import fetch, is_remote, resolve_relative

VOICE = "bench"
VOICE_S = 5.0
RATE_HZ = 24_000
_PATHS = ("weights_path", "weights_path_without_voice_cloning")


@dataclass(frozen=True, slots=True)
class StagedCheckpoint:
    """A model and its voice. `voice_file`: where its voice is to be written; None if the model has voices."""

    variant: str
    config: Path | None = None

    @property
    def settings(self) -> dict[str, str]:
        """Settings that select it."""
        return {"config": str(self.config)} if self.config else {"variant": self.variant}

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(part for name, value in self.settings.items() for part in (f"--{name}", value))

    @property
    def voice_file(self) -> Path | None:
        return self.config.parent / "voices" / f"{VOICE}.safetensors" if self.config else None

    @property
    def voice(self) -> str | None:
        """None: the server's default."""
        return VOICE if self.config else None


def stage(variant: str, config: str | None, folder: Path) -> StagedCheckpoint:
    """Copy the config to `folder` with absolute paths. A variant needs no copy."""
    if config is None:
        return StagedCheckpoint(variant)
    source = fetch(config) if is_remote(config) else Path(config).expanduser()
    content = yaml.safe_load(source.read_text("utf-8"))
    near = config if is_remote(config) else str(source.resolve())
    table = content["flow_lm"]["lookup_table"]
    table["tokenizer_path"] = resolve_relative(near, table["tokenizer_path"])
    for name in _PATHS:
        if content.get(name):
            content[name] = resolve_relative(near, content[name])
    stem = source.parent.name if source.stem == "config" else source.stem
    (folder / "voices").mkdir(parents=True)
    staged = folder / f"{stem}.yaml"
    staged.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")
    return StagedCheckpoint(variant, staged)


def voice_audio(seconds: float = VOICE_S, rate_hz: int = RATE_HZ) -> npt.NDArray[np.float32]:
    """Return deterministic, vowel-like audio, [samples] in [-0.5, 0.5], to encode as a voice."""
    rng = np.random.default_rng(0)
    at_s = np.arange(round(seconds * rate_hz)) / rate_hz
    pitch_hz = 120 + 15 * np.sin(2 * np.pi * 0.4 * at_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    first_hz = 500 + 250 * np.sin(2 * np.pi * 0.9 * at_s)  # the formant that makes a vowel
    sound = np.zeros_like(at_s)
    for harmonic in range(1, 30):
        hz = harmonic * pitch_hz
        level = np.exp(-(((hz - first_hz) / 200) ** 2)) + 0.4 * np.exp(-(((hz - 1500) / 300) ** 2))
        sound += level * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 2 * at_s) + 0.6, 0, 1)
    sound = sound * syllables + 0.01 * rng.standard_normal(len(at_s))
    return np.asarray(0.5 * sound / np.abs(sound).max(), np.float32)
