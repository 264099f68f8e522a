"""The trained codec networks equal the engine's codec."""

import pytest
import torch

from sayline_tts.engine.checkpoint.config import MimiConfig
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models import layers
from sayline_tts.engine.models.mimi import Mimi, MimiState
from training.codec.network import Decoder, Encoder
from training.codec.train_decoder import read_codec_config

FRAMES = 10


@pytest.fixture(scope="module")
def shape() -> MimiConfig:
    shape = read_codec_config()
    short = {"context": 40}  # shorter than the test's audio, so that the attention window matters
    return shape.model_copy(
        update={
            "transformer": shape.transformer.model_copy(update=short),
            "decoder_transformer": shape.decoder_attention.model_copy(update=short),
        }
    )


@pytest.fixture(scope="module")
def halves(shape: MimiConfig) -> tuple[Encoder, Decoder]:
    torch.manual_seed(0)
    return Encoder(shape).eval(), Decoder(shape).eval()


@pytest.fixture(scope="module")
def engine(shape: MimiConfig, halves: tuple[Encoder, Decoder]) -> Mimi:
    mimi = Mimi(shape)
    encoder, decoder = halves
    mimi.load_state_dict({**encoder.state_dict(), **decoder.state_dict()})
    layers.pack(mimi, Precision.FLOAT32)
    return mimi


@torch.inference_mode()
def test_encoder_equals_the_engine(engine: Mimi, halves: tuple[Encoder, Decoder]) -> None:
    audio = torch.randn(FRAMES * 1920) * 0.1
    torch.testing.assert_close(halves[0](audio[None])[0], engine.encode(audio), atol=1e-5, rtol=1e-3)


@torch.inference_mode()
def test_decoder_equals_the_engine_frame_by_frame(engine: Mimi, halves: tuple[Encoder, Decoder]) -> None:
    latents = torch.randn(FRAMES, 32)
    state, slots = MimiState(engine, torch.device("cpu"), 1), torch.tensor([0])
    streamed = torch.cat([engine.decode(frame[None], state, slots)[0] for frame in latents])
    torch.testing.assert_close(halves[1](latents[None])[0], streamed, atol=1e-5, rtol=1e-3)


def test_every_weight_has_a_gradient(halves: tuple[Encoder, Decoder]) -> None:
    encoder, decoder = halves
    decoder(encoder(torch.randn(1, 6 * 1920))).square().sum().backward()
    for half in halves:
        assert [name for name, weight in half.named_parameters() if weight.grad is None or not weight.grad.any()] == []
