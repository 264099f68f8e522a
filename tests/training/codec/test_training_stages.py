"""All stages of the codec's training on a few clips, interrupted and resumed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from tests.training.speech_folder import FRAMES, make
from training.codec import (
    assemble,
    encode_latents,
    mel_patches,
    train_decoder,
    train_encoder,
    train_spectral_autoencoder,
)
from training.codec.crops import CodecCrops
from training.data.arrays import save_array
from training.data.clips import shards_of

pytestmark = pytest.mark.slow
STEPS = 2


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After all stages: two steps of each training."""
    work = make(tmp_path_factory.mktemp("work"), sentences=(0, 1))
    for shard in shards_of(work / "speech"):
        (work / "patches" / shard.voice).mkdir(parents=True)
        save_array(work / "patches" / shard.voice / f"{shard.name}.npy", mel_patches.patches_of(shard))
    train_spectral_autoencoder.train(work, STEPS, 1e-3)
    encode_latents.encode_all(work)
    train_decoder.train(work, STEPS, 1e-3, 1, adversary_from=1)
    train_encoder.train(work, STEPS, 1e-3, 1)
    assemble.write_codec(work)
    return work


def test_latents_are_written_for_all_shards(work: Path) -> None:
    with np.load(work / "latents/bob/0-000.npz") as file:
        assert file["latent"].shape == (2 * FRAMES, 32)
        assert file["start"].tolist() == [0, FRAMES, 2 * FRAMES]
    statistics = load_file(work / "latents/statistics.safetensors")
    assert {name: len(values) for name, values in statistics.items()} == {"mean": 32, "std": 32}


def test_interrupted_training_resumes(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_decoder.train(work, STEPS + 1, 1e-3, 1, adversary_from=1)
    assert f"from step {STEPS}" in capsys.readouterr().out
    assert torch.load(work / "codec/decoder/checkpoint.pt", weights_only=True)["step"] == STEPS + 1


def test_averaged_weights_of_both_halves_are_assembled(work: Path) -> None:
    published = load_file(work / "codec/frozen/codec.safetensors")
    for half in ("encoder", "decoder"):
        for name, tensor in assemble.averaged_weights(work / "codec" / half / "checkpoint.pt").items():
            if half == "encoder":
                assert torch.equal(published[f"mimi.{name}"], tensor)
            assert f"mimi.{name}" in published


def test_clip_starts_are_the_first_frames_of_clips(work: Path) -> None:
    crops = CodecCrops(work, ["ann", "bob"], 4, 1)
    sound, latents_of_starts = crops.clip_starts(1, 3, 2)
    assert sound.shape == (3, 2 * 1920)
    with np.load(work / "latents/bob/0-000.npz") as bob, np.load(work / "latents/ann/0-000.npz") as ann:
        firsts = [file["latent"][FRAMES : FRAMES + 2].astype(np.float32) for file in (bob, ann)]
    assert all(any(np.array_equal(row, first) for first in firsts) for row in latents_of_starts.numpy())
    assert torch.equal(sound, crops.clip_starts(1, 3, 2)[0])


def test_training_from_a_checkpoint_keeps_the_other_half(work: Path, tmp_path: Path) -> None:
    for part in ("speech", "patches", "latents", "codec/spectral_autoencoder"):
        shutil.copytree(work / part, tmp_path / part)
    train_encoder.train(tmp_path, 1, 0.0, 1, EMBEDDED / "config.yaml")
    assemble.write_codec(tmp_path, EMBEDDED / "config.yaml")
    published = load_file(tmp_path / "codec/frozen/codec.safetensors")
    known = load_file(EMBEDDED / "model.safetensors")
    assert all(torch.equal(tensor, known[name].float()) for name, tensor in published.items())
