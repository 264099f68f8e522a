"""Networks and batches are on the chosen device.

`meta`, which computes only shapes, stands for an accelerator: mixing it with tensors of the CPU is an error too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from training.codec.decoder_objective import PatchHead, clip_start_loss, run_decoder
from training.codec.discriminator import Discriminator
from training.codec.network import Decoder, Encoder
from training.codec.train_decoder import read_codec_config
from training.codec.train_encoder import error
from training.data import spectra
from training.data.spectra import PATCH_SIZE
from training.trainer.device import batch_to_device, current_device, to_device, use_device
from training.trainer.matmul_precision import fast_matmul


@dataclass(frozen=True)
class Batch:
    one: Tensor
    other: Tensor


@pytest.fixture
def meta() -> Iterator[None]:
    cached = (spectra.hann, spectra.mel_bank)
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    for each in cached:
        each.cache_clear()
    use_device("meta", threads)
    yield
    use_device("cpu", threads)
    torch.set_float32_matmul_precision(precision)
    for each in cached:
        each.cache_clear()


def test_default_is_the_cpu() -> None:
    assert current_device().type == "cpu"


@pytest.mark.usefixtures("meta")
def test_batches_are_moved() -> None:
    batch = batch_to_device(Batch(torch.ones(1, device="cpu"), torch.ones(2, device="cpu")))
    assert batch.one.is_meta
    assert batch.other.is_meta
    assert to_device(torch.ones(1, device="cpu")).is_meta


@pytest.mark.usefixtures("meta")
def test_codec_trainings_compute_on_one_device() -> None:
    config = read_codec_config()
    decoder, encoder, discriminator = Decoder(config), Encoder(config), Discriminator()
    patch_head = PatchHead(config.decoder_attention.d_model, torch.zeros(PATCH_SIZE), torch.ones(PATCH_SIZE))
    audio, latents, patches = torch.zeros(2, 9 * 1920), torch.zeros(2, 9, 32), torch.zeros(2, 9, PATCH_SIZE)
    output = run_decoder(decoder, patch_head, (audio, latents, patches), 0.3)
    losses = output.losses() | output.adversarial_losses(discriminator)
    losses["clip_start"] = clip_start_loss(decoder, audio[:, : 2 * 1920], latents[:, :2])
    losses["encoder"] = error(encoder, audio, latents)
    with fast_matmul():
        losses["discriminator"] = discriminator.discriminator_loss(output.audio, output.target)
    assert all(loss.is_meta for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
