"""Choice of the precision, and the audible distance of each one from float32.

The figures behind the bounds are in docs/performance.md; each bound leaves about twice what was measured.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.engine.models.flow_lm_state import FlowLMState
from sayline_tts.engine.models.mimi import Mimi, MimiState
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice

CPU = torch.device("cpu")
SENTENCES = [
    ("clara", "Who can tell the secrets of their hearts and minds?"),
    ("adam", "Yes."),
    ("ross", "Take it home."),
]
FRAMES = 40  # enough for silence behind the shorter ones
QUIET_DB = -60  # below the peak, in float32
TEMPERATURE = 0.3
WINDOW_SAMPLES = 480


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_f": True}, Precision.FLOAT32),
        ({"avx512_bf16": True}, Precision.FLOAT32),
        ({"avx512_bf16": True, "avx512_vnni": True}, Precision.INT8),
        ({"avx2": True, "avx_vnni": True}, Precision.INT8),
        ({}, Precision.FLOAT32),
    ],
)
def test_auto_is_the_fastest_precision_of_the_processor(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: Precision
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert Precision.choose("auto", CPU) is expected


@pytest.mark.parametrize("supported", [True, False])
def test_auto_on_cuda_depends_on_native_bfloat16(monkeypatch: pytest.MonkeyPatch, supported: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    chosen = Precision.choose("auto", torch.device("cuda"))
    assert chosen is (Precision.BFLOAT16 if supported else Precision.FLOAT32)


@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_precision_is_chosen_by_name_on_any_device(precision: Precision) -> None:
    for device in (CPU, torch.device("cuda")):
        assert Precision.choose(precision.value, device) is precision


def test_unusable_precision_is_refused_with_those_that_work() -> None:
    with pytest.raises(InputError, match=r"'half'.*auto, float32, bfloat16, int8"):
        Precision.choose("half", CPU)
    with pytest.raises(InputError, match="choose bfloat16 or float32"):
        Precision.choose("int8", torch.device("cuda"))


def test_int8_keeps_activations_in_float32(models: dict[Precision, Model]) -> None:
    model = models[Precision.INT8]
    assert model.flow_lm.dtype == model.mimi.dtype == torch.float32
    assert model.flow_lm.cache_dtype == torch.bfloat16


# Audible differences, with trained weights


@dataclass(frozen=True)
class Speech:
    latents: Tensor  # [frames, dim], FlowLM's scale
    logits: Tensor  # [frames], end of speech
    conditions: Tensor  # [frames, width], what the heads read


@dataclass(frozen=True)
class Sound:
    """PCM of the same latents in float32 and in another precision."""

    precision: Precision
    exact: Tensor  # [samples]
    rounded: Tensor

    @property
    def error(self) -> Tensor:
        return self.rounded - self.exact


@pytest.fixture(scope="module")
def models() -> dict[Precision, Model]:
    checkpoint = find_checkpoint("embedded")
    return {each: Model.load(checkpoint, precision=each.value) for each in Precision}


@pytest.fixture(scope="module")
def exact(models: dict[Precision, Model]) -> list[Speech]:
    model = models[Precision.FLOAT32]
    return [generate(model, model.load_voice(voice), text, seed) for seed, (voice, text) in enumerate(SENTENCES)]


LOW_PRECISIONS = [Precision.BFLOAT16, Precision.INT8]
# Without native bfloat16 products, the codec takes ten seconds in it.
OF_THE_CODEC = [pytest.param(Precision.BFLOAT16, marks=pytest.mark.slow), Precision.INT8]


@pytest.fixture(scope="module", params=OF_THE_CODEC, ids=lambda each: each.value)
def sound(request: pytest.FixtureRequest, models: dict[Precision, Model], exact: list[Speech]) -> Sound:
    latents_list = torch.stack([models[Precision.FLOAT32].flow_lm.denormalize(speech.latents) for speech in exact])
    kinds = Precision.FLOAT32, request.param
    pcm = (torch.cat([decode(models[kind].mimi, each[None])[0] for each in latents_list]) for kind in kinds)
    return Sound(request.param, *pcm)


@torch.inference_mode()
def generate(model: Model, voice: Voice, text: str, seed: int, past: Tensor | None = None, rows: int = 1) -> Speech:
    """`past` `[frames, dim]`: latents that frames follow instead of the generated ones. All `rows` run it; the last is
    returned.
    """
    flow_lm, slots, generator = model.flow_lm, torch.arange(rows), torch.Generator().manual_seed(seed)
    state = FlowLMState(flow_lm, rows)
    for slot in range(rows):
        state.load_voice(slot, voice)
    x = flow_lm.embed_text(torch.tensor(model.segment(text).tokens)).repeat(rows, 1)  # [positions, width]
    frames: list[tuple[Tensor, Tensor, Tensor]] = []
    while len(frames) < FRAMES:
        z = state.forward(slots, x, torch.full_like(slots, len(x) // rows))  # [rows, width]
        noise = torch.randn(len(flow_lm.bos_emb), generator=generator) * TEMPERATURE**0.5
        latents = flow_lm.sample(z, noise.expand(rows, -1), 1)
        frames.append((latents[-1], flow_lm.eos_logits(z)[-1], z[-1]))
        next_past = latents if past is None else past[len(frames) - 1].expand(rows, -1)
        x = flow_lm.embed_latents(next_past)
    return Speech(*(torch.stack(parts) for parts in zip(*frames, strict=True)))


@torch.inference_mode()
def decode(mimi: Mimi, latents: Tensor) -> Tensor:
    """Decode `[rows, frames, dim]` on the codec's scale to `[rows, samples]`."""
    rows = torch.arange(len(latents))
    state = MimiState(mimi, CPU, len(latents))
    return torch.cat([mimi.decode(frame, state, rows) for frame in latents.unbind(1)], dim=1)


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def db(ratio: float) -> float:
    return 20 * math.log10(ratio)


def test_codec_error_is_small(sound: Sound) -> None:
    """Signal to error measured 44 dB in bfloat16, 38 in int8."""
    assert db(rms(sound.exact) / rms(sound.error)) > {Precision.BFLOAT16: 38, Precision.INT8: 32}[sound.precision]


def test_silence_stays_silent(sound: Sound) -> None:
    """In pauses the error was 73 dB below the peak in bfloat16 and 87 in int8, silence itself 70 and 74 dB."""
    peak = float(sound.exact.abs().max())
    exact, rounded, error = (each.view(-1, WINDOW_SAMPLES) for each in (sound.exact, sound.rounded, sound.error))
    quiet = exact.square().mean(dim=1).sqrt() < peak * 10 ** (QUIET_DB / 20)
    assert quiet.sum() > 20, "too little silence to tell"
    assert db(rms(error[quiet]) / peak) < -69
    assert db(rms(rounded[quiet]) / peak) < -66


def test_silent_recording_stays_silent_through_the_codec(models: dict[Precision, Model], sound: Sound) -> None:
    with torch.inference_mode():
        latents = models[Precision.FLOAT32].mimi.encode(torch.zeros(24000))[None]
    exact, rounded = (decode(models[each].mimi, latents)[0, 9600:] for each in (Precision.FLOAT32, sound.precision))
    assert db(rms(rounded - exact) / float(sound.exact.abs().max())) < -72
    assert db(rms(rounded) / float(sound.exact.abs().max())) < -66


@pytest.mark.parametrize("precision", OF_THE_CODEC)
def test_batched_codec_rows_equal_single_ones_in_low_precision(
    models: dict[Precision, Model], exact: list[Speech], precision: Precision
) -> None:
    """To the last bit where it was measured; elsewhere by no more than rounding does."""
    model = models[precision]
    latents = torch.stack([model.flow_lm.denormalize(speech.latents) for speech in exact])
    together = decode(model.mimi, latents)
    for row, each in zip(together, latents, strict=True):
        alone = decode(model.mimi, each[None])[0]
        assert db(rms(alone) / max(rms(row - alone), 1e-12)) > 40


@pytest.mark.parametrize(("precision", "share"), [(Precision.BFLOAT16, 0.06), (Precision.INT8, 0.18)])
def test_latent_error_is_far_below_the_sampling_noise(
    models: dict[Precision, Model], exact: list[Speech], precision: Precision, share: float
) -> None:
    """Measured: 3.6 % of the effect of sampling noise in bfloat16, 10 % in int8."""
    errors = [forced.latents - speech.latents for forced, speech in teacher_forced(models, exact, precision)]
    assert rms(torch.cat(errors)) < share * spread(models[Precision.FLOAT32], exact)


@pytest.mark.parametrize(("precision", "bound"), [(Precision.BFLOAT16, 0.04), (Precision.INT8, 0.06)])
def test_end_of_speech_is_decided_as_in_float32(
    models: dict[Precision, Model], exact: list[Speech], precision: Precision, bound: float
) -> None:
    """Measured: the logit is off by 0.018 in bfloat16, 0.03 in int8; resampling the frame before moves it by 1.6."""
    pairs = teacher_forced(models, exact, precision)
    assert rms(torch.cat([forced.logits - speech.logits for forced, speech in pairs])) < bound
    threshold = models[precision].config.default_eos_threshold
    for forced, speech in pairs:
        clear = (speech.logits - threshold).abs() > 0.5
        assert torch.equal(forced.logits[clear] > threshold, speech.logits[clear] > threshold)


@pytest.mark.parametrize("precision", LOW_PRECISIONS)
def test_batched_flow_lm_rows_equal_single_ones_in_low_precision(
    models: dict[Precision, Model], exact: list[Speech], precision: Precision
) -> None:
    """To the last bit where it was measured; elsewhere by no more than rounding does."""
    model, (name, text) = models[precision], SENTENCES[0]
    alone, among = (generate(model, model.load_voice(name), text, 0, exact[0].latents, rows) for rows in (1, 7))
    assert rms(among.latents - alone.latents) < 0.03 * spread(models[Precision.FLOAT32], exact)


def teacher_forced(
    models: dict[Precision, Model], exact: list[Speech], precision: Precision
) -> list[tuple[Speech, Speech]]:
    model = models[precision]
    return [
        (generate(model, model.load_voice(voice), text, seed, speech.latents), speech)
        for seed, ((voice, text), speech) in enumerate(zip(SENTENCES, exact, strict=True))
    ]


@torch.inference_mode()
def spread(model: Model, latents_list: list[Speech]) -> float:
    """Distance of two samples of a latent from their mean."""
    conditions = torch.cat([speech.conditions for speech in latents_list])  # [frames, width]
    generator, std = torch.Generator().manual_seed(0), TEMPERATURE**0.5
    dim = len(model.flow_lm.bos_emb)
    draws = [
        model.flow_lm.sample(conditions, torch.randn(len(conditions), dim, generator=generator) * std, 1)
        for _ in range(16)
    ]
    return float(torch.stack(draws).var(dim=0).mean().sqrt())
