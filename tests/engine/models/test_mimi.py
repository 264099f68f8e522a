"""Frame by frame, in any batch, in encoder blocks of any size: the same audio."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from sayline_tts.engine.models import mimi
from sayline_tts.engine.models.mimi import MimiState, codec_history_frames
from sayline_tts.engine.models.model import Model

CPU = torch.device("cpu")


def latents(frames: int, seed: int = 0) -> Tensor:
    return torch.randn(frames, 32, generator=torch.Generator().manual_seed(seed))


def decode(model: Model, state: MimiState, slot: int, frames: Tensor) -> Tensor:
    slots = torch.tensor([slot])
    return torch.cat([model.mimi.decode(frame[None], state, slots)[0] for frame in frames])


@torch.inference_mode()
def test_batched_rows_decode_as_if_alone(model: Model) -> None:
    state = MimiState(model.mimi, CPU, 3)
    decode(model, state, 2, latents(5, 1)[:2])
    together = model.mimi.decode(torch.stack([latents(1)[0], latents(5, 1)[2]]), state, torch.tensor([0, 2]))
    for row, (seed, place) in enumerate([(0, 0), (1, 2)]):
        fresh = MimiState(model.mimi, CPU, 1)
        alone = decode(model, fresh, 0, latents(5 if seed else 1, seed)[: place + 1])
        torch.testing.assert_close(together[row], alone[-1920:], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_reset_slot_equals_a_fresh_one_and_leaves_others_alone(model: Model) -> None:
    state = MimiState(model.mimi, CPU, 2)
    first = decode(model, state, 0, latents(20, 3))
    before = decode(model, state, 1, latents(2, 4)[:1])
    state.reset(0)
    torch.testing.assert_close(decode(model, state, 0, latents(20, 3)), first, atol=1e-5, rtol=0)
    after = decode(model, state, 1, latents(2, 4)[1:])
    fresh = MimiState(model.mimi, CPU, 1)
    whole = decode(model, fresh, 0, latents(2, 4))
    torch.testing.assert_close(torch.cat([before, after]), whole, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_state_is_rebuilt_from_the_last_frames_to_the_bit(model: Model) -> None:
    """Whatever the slot held before, and wherever the stream stood."""
    history, at = codec_history_frames(model.config.mimi), 50
    assert 30 < history < at
    whole = decode(model, MimiState(model.mimi, CPU, 1), 0, latents(at + 2))[-2 * 1920 :]
    state = MimiState(model.mimi, CPU, 2)
    decode(model, state, 1, latents(3, 9))
    state.reset(1, at - history)
    rebuilt = decode(model, state, 1, latents(at + 2)[at - history :])[-2 * 1920 :]
    assert torch.equal(rebuilt, whole)


def test_threads_may_decode_disjoint_slots_at_once(model: Model) -> None:
    state = MimiState(model.mimi, CPU, 40)
    with ThreadPoolExecutor(4) as pool, torch.inference_mode():
        outputs = list(pool.map(lambda slot: decode(model, state, slot, latents(6, slot)), range(0, 40, 5)))
    with torch.inference_mode():
        for slot, pcm in zip(range(0, 40, 5), outputs, strict=True):
            alone = decode(model, MimiState(model.mimi, CPU, 1), 0, latents(6, slot))
            torch.testing.assert_close(pcm, alone, atol=1e-5, rtol=0)


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1920 * 4, 1920 * 4 + 1, 1000])
def test_encoder_pads_the_last_frame(model: Model, samples: int) -> None:
    assert model.mimi.encode(torch.zeros(samples)).shape == (-(-samples // 1920), 32)


@torch.inference_mode()
def test_encoder_blocks_do_not_change_the_latents(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = 0.1 * torch.randn(24000 * 3, generator=torch.Generator().manual_seed(0))
    whole = model.mimi.encode(audio)
    monkeypatch.setattr(mimi, "ENCODER_BLOCK_FRAMES", 3)
    torch.testing.assert_close(model.mimi.encode(audio), whole, atol=1e-5, rtol=0)
