"""Training FlowLM from a published checkpoint, interrupted and resumed."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from tests.training.speech_folder import FRAMES, make
from training.data.arrays import save_arrays
from training.data.phones import PHONES
from training.export import load_checkpoint
from training.flow_lm import train

pytestmark = pytest.mark.slow
CONFIG = EMBEDDED / "config.yaml"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(train, "AUXILIARY_WARMUP_STEPS", 2)
    monkeypatch.setattr(train, "VALIDATION_BATCHES", 1)
    make(tmp_path)
    (tmp_path / "text").mkdir()
    (tmp_path / "text/sentences.txt").write_text("Oh.\n" * 101)
    (tmp_path / "speech/phones.txt").write_text("\n".join(PHONES))
    for voice in ("ann", "bob"):
        (tmp_path / "latents" / voice).mkdir(parents=True)
        latents = np.zeros((4 * FRAMES, 32), np.float16)
        save_arrays(tmp_path / "latents" / voice / "0-000.npz", {"latent": latents, "start": np.arange(5) * FRAMES})
    return tmp_path


def options(work: Path, steps: int) -> argparse.Namespace:
    return argparse.Namespace(work=work, run="more", steps=steps, rate=1e-4, positions=100, draws=1, jumps=0.1,
                              muon=False, falling=1.0, checkpoint=CONFIG, voices=None, text_dropout=0.0,
                              voice_dropout=0.0)  # fmt: skip


def test_training_starts_from_the_checkpoint_and_warms_up_auxiliary_heads(work: Path) -> None:
    train.train(options(work, 0))
    state = torch.load(work / "flow/more/checkpoint.pt", weights_only=True)
    known = load_checkpoint.load_flow_lm(CONFIG).state_dict()
    assert all(torch.equal(tensor, known[name]) for name, tensor in state["network"].items())
    assert (work / "flow/tokenizer.model").read_bytes() == (EMBEDDED / "tokenizer.model").read_bytes()


def test_resumed_training_skips_the_warmup(work: Path) -> None:
    train.train(options(work, 1))
    train.train(options(work, 2))
    state = torch.load(work / "flow/more/checkpoint.pt", weights_only=True)
    known = load_checkpoint.load_flow_lm(CONFIG).state_dict()
    assert state["step"] == 2
    assert not torch.equal(state["network"]["input_linear.weight"], known["input_linear.weight"])
    kinds = [json.loads(line)["kind"] for line in (work / "flow/more/log.jsonl").read_text().splitlines()]
    assert kinds.count("auxiliary_warmup") == 1
