"""training/codec/decoder.py, encoder.py, latents.py, codec.py: the whole way on a handful of clips, stopped and gone on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from tests.training.speech_folder import FRAMES, make
from training.codec import codec, decoder, encoder, latents, mel_patches, spectral_autoencoder
from training.codec.codec_crops import CodecCrops
from training.data.clips import shards_of
from training.data.files import write_array

STEPS = 2


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After all stages: two steps of each training."""
    torch.set_num_threads(1)
    work = make(tmp_path_factory.mktemp("work"), sentences=(0, 1))
    for shard in shards_of(work / "speech"):
        (work / "patches" / shard.voice).mkdir(parents=True)
        write_array(work / "patches" / shard.voice / f"{shard.name}.npy", mel_patches.patches_of(shard))
    spectral_autoencoder.train(work, STEPS, 1e-3)
    latents.encode_all(work)
    decoder.train(work, STEPS, 1e-3, 1, adversary_from=1)
    encoder.train(work, STEPS, 1e-3, 1)
    codec.publish(work)
    return work


def test_latents_lie_beside_their_clips(work: Path) -> None:
    with np.load(work / "latents/bob/0-000.npz") as file:
        assert file["latent"].shape == (2 * FRAMES, 32)
        assert file["start"].tolist() == [0, FRAMES, 2 * FRAMES]
    statistics = load_file(work / "latents/statistics.safetensors")
    assert {name: len(values) for name, values in statistics.items()} == {"mean": 32, "std": 32}


def test_a_killed_training_goes_on(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decoder.train(work, STEPS + 1, 1e-3, 1, adversary_from=1)
    assert f"from step {STEPS}" in capsys.readouterr().out
    assert torch.load(work / "codec/decoder/checkpoint.pt", weights_only=True)["step"] == STEPS + 1


def test_both_halves_are_published_as_they_were_averaged(work: Path) -> None:
    published = load_file(work / "codec/frozen/codec.safetensors")
    for half in ("encoder", "decoder"):
        for name, tensor in codec.averaged(work / "codec" / half / "checkpoint.pt").items():
            if half == "encoder":
                assert torch.equal(published[f"mimi.{name}"], tensor)
            assert f"mimi.{name}" in published


def test_openings_are_how_clips_begin(work: Path) -> None:
    crops = CodecCrops(work, ["ann", "bob"], 4, 1)
    sound, begun = crops.openings(1, 3, 2)
    assert sound.shape == (3, 2 * 1920)
    with np.load(work / "latents/bob/0-000.npz") as bob, np.load(work / "latents/ann/0-000.npz") as ann:
        firsts = [file["latent"][FRAMES : FRAMES + 2].astype(np.float32) for file in (bob, ann)]
    assert all(any(np.array_equal(row, first) for first in firsts) for row in begun.numpy())
    assert torch.equal(sound, crops.openings(1, 3, 2)[0])


def test_halves_begin_with_a_checkpoints_and_the_other_half_stays_its(work: Path, tmp_path: Path) -> None:
    for part in ("speech", "patches", "latents", "codec/sketch"):
        shutil.copytree(work / part, tmp_path / part)
    encoder.train(tmp_path, 1, 0.0, 1, EMBEDDED / "config.yaml")
    codec.publish(tmp_path, EMBEDDED / "config.yaml")
    published = load_file(tmp_path / "codec/frozen/codec.safetensors")
    known = load_file(EMBEDDED / "model.safetensors")
    assert all(torch.equal(tensor, known[name].float()) for name, tensor in published.items())
