"""Fine-tuning on two clips, a few steps."""

import argparse
import wave
from pathlib import Path

import pytest
import torch

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.tts_model import TTSModel
from training.export import load_checkpoint
from training.flow_lm.finetune import FROZEN_TEXT_LAYERS, finetune, read_recordings

pytestmark = pytest.mark.slow
CONFIG = EMBEDDED / "config.yaml"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sentences of the embedded voice."""
    folder = tmp_path_factory.mktemp("clips")
    model = TTSModel.load_model(config=CONFIG, precision="float32")
    state = model.get_state_for_voice(model.voices[0])
    for name, text in (("one", "This is the first clip."), ("two", "And here is another one.")):
        samples = (model.generate_audio(state, text, seed=1).clamp(-1, 1) * 32767).short().numpy()
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((1, 2, model.sample_rate, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        (folder / f"{name}.txt").write_text(text + "\n", encoding="utf-8")
    return folder


def options(clips: Path, out: Path, what: str, steps: int) -> argparse.Namespace:
    return argparse.Namespace(config=CONFIG, clips=clips, name="new", out=out, what=what, steps=steps, rate=None)


def test_tuned_voice_works_with_the_unchanged_checkpoint(clips: Path, tmp_path: Path) -> None:
    voice = finetune(options(clips, tmp_path, "voice", 2))
    model = TTSModel.load_model(config=CONFIG, precision="float32")
    said = model.generate_audio(model.get_state_for_audio_prompt(voice), "Yes.", seed=1)
    assert torch.isfinite(said).all()
    assert not (tmp_path / "model.safetensors").exists()


def test_tuned_weights_are_a_checkpoint_with_one_voice(clips: Path, tmp_path: Path) -> None:
    finetune(options(clips, tmp_path, "all", 2))
    model = TTSModel.load_model(config=tmp_path / "config.yaml", precision="float32")
    tuned, known = load_checkpoint.load_flow_lm(tmp_path / "config.yaml"), load_checkpoint.load_flow_lm(CONFIG)
    changed = {
        name for (name, one), two in zip(tuned.named_parameters(), known.parameters(), strict=True) if one.ne(two).any()
    }
    assert "transformer.layers.5.linear1.weight" in changed
    assert not any(name.startswith(FROZEN_TEXT_LAYERS) for name in changed)
    assert model.voices == ("new",)
    assert len(model.generate_audio(model.get_state_for_voice("new"), "Yes.", seed=1))


def test_interrupted_finetuning_resumes(clips: Path, tmp_path: Path) -> None:
    finetune(options(clips, tmp_path, "voice", 1))
    first = torch.load(tmp_path / "training/checkpoint.pt", weights_only=True)
    finetune(options(clips, tmp_path, "voice", 3))
    assert first["step"] == 1
    assert torch.load(tmp_path / "training/checkpoint.pt", weights_only=True)["step"] == 3


def test_transcript_without_audio_is_named(tmp_path: Path) -> None:
    (tmp_path / "lost.txt").write_text("Hello.", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"lost\.txt"):
        read_recordings(tmp_path, 24000)
