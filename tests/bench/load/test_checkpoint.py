from pathlib import Path

import numpy as np

from sayline_tts.bench.load.checkpoint import StagedCheckpoint, stage, voice_audio
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, find_checkpoint
from sayline_tts.engine.checkpoint.config import load_config


def test_variant_is_not_copied(tmp_path: Path) -> None:
    staged = stage("embedded", None, tmp_path)
    assert staged.flags == ("--variant", "embedded")
    assert staged.voice is None
    assert staged.voice_file is None
    assert list(tmp_path.iterdir()) == []


def test_config_is_copied_with_absolute_paths_and_a_voice_folder(tmp_path: Path) -> None:
    staged = stage("auto", str(EMBEDDED / "config.yaml"), tmp_path)
    assert staged == StagedCheckpoint("auto", tmp_path / "embedded.yaml")
    assert staged.voice_file == tmp_path / "voices" / "bench.safetensors"
    assert staged.config is not None
    assert staged.config.parent == tmp_path
    checkpoint = find_checkpoint("auto", staged.config)
    assert checkpoint.weights.parent == EMBEDDED
    assert checkpoint.tokenizer.parent == EMBEDDED
    assert checkpoint.voice_folder == tmp_path / "voices"
    assert checkpoint.config.flow_lm.transformer == load_config(EMBEDDED / "config.yaml").flow_lm.transformer


def test_voice_audio_is_deterministic_and_five_seconds_long() -> None:
    sound = voice_audio()
    assert sound.shape == (120_000,)
    assert 0.4 < np.abs(sound).max() <= 0.5
    assert np.array_equal(sound, voice_audio())
