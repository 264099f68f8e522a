from pathlib import Path

import numpy as np

from sayline_tts.bench.load.checkpoint import Staged, stage, voice_sound
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, find_checkpoint
from sayline_tts.engine.checkpoint.config import load_config


def test_a_variant_stays_as_it_is(tmp_path: Path) -> None:
    staged = stage("embedded", None, tmp_path)
    assert staged.flags == ("--variant", "embedded")
    assert staged.voice is None
    assert staged.voice_file is None
    assert list(tmp_path.iterdir()) == []


def test_a_config_is_copied_with_absolute_paths_and_room_for_a_voice(tmp_path: Path) -> None:
    staged = stage("auto", str(EMBEDDED / "config.yaml"), tmp_path)
    assert staged == Staged("auto", tmp_path / "embedded.yaml")
    assert staged.voice_file == tmp_path / "voices" / "bench.safetensors"
    assert staged.config is not None
    assert staged.config.parent == tmp_path
    checkpoint = find_checkpoint("auto", staged.config)
    assert checkpoint.weights.parent == EMBEDDED
    assert checkpoint.tokenizer.parent == EMBEDDED
    assert checkpoint.voice_folder == tmp_path / "voices"
    assert checkpoint.config.flow_lm.transformer == load_config(EMBEDDED / "config.yaml").flow_lm.transformer


def test_the_voice_is_five_seconds_of_the_same_sound_every_time() -> None:
    sound = voice_sound()
    assert sound.shape == (120_000,)
    assert 0.4 < np.abs(sound).max() <= 0.5
    assert np.array_equal(sound, voice_sound())
