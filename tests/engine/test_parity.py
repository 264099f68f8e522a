"""Parity with the reference implementation on the same weights: latents of every segment, PCM of the first one.

In float32, at temperature 0, within 1e-4, for every published shape, and for flow matching, which none of them uses.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pocket_tts.models.model_state import export_model_state as reference_export

from sayline_tts.engine.checkpoint.catalogue import variant_names
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED
from sayline_tts.engine.tts_model import export_model_state
from tests.engine.reference import (
    ALWAYS,
    Pair,
    Shape,
    Synthesis,
    arithmetic,
    pair_of,
    published_shapes,
    some_audio,
    synthesize,
    write_embedded_config,
    write_tokenizer,
)

TOLERANCE = 1e-4
FADE_SAMPLES = 120  # the reference fades in the first 5 ms of each segment
SHORT = "No sewati."
LONG = (
    "Wa the nofika, 3.14 ledo mipara; seti go kaleha vuwa. Hubado rasemi ti the wanofi? Kalego hudo beba, "
    "the misera padolefi, noka vutigo rawabesemi do hufi leka nopa!"
)
SHAPES = [*published_shapes(), Shape("english_2m_2026-10", (("flow.type", "flow_matching"),))]
FAST = {"english_7m_2026-10", "english_2m_2026-10-flow_matching"}  # in `make test`; all others in `make test-slow`


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(
    scope="module",
    params=[shape if str(shape) in FAST else pytest.param(shape, marks=pytest.mark.slow) for shape in SHAPES],
    ids=str,
)
def pair(request: pytest.FixtureRequest, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    with pair_of(request.param, folder, tokenizer) as pair:
        yield pair


def assert_equal(ours: Synthesis, reference: Synthesis) -> None:
    assert ours.frames == reference.frames
    for mine, theirs in zip(ours.latents, reference.latents, strict=True):
        torch.testing.assert_close(mine, theirs, atol=TOLERANCE, rtol=0)
    first = slice(FADE_SAMPLES, reference.frames[0] * 1920)
    torch.testing.assert_close(ours.pcm[first], reference.pcm[first], atol=TOLERANCE, rtol=0)
    assert reference.pcm[first].abs().max() > 100 * TOLERANCE, "too quiet for a comparison"


@pytest.mark.parametrize("decode_steps", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_short_text_in_a_cloned_voice_equals_the_reference(pair: Pair, decode_steps: int) -> None:
    audio = some_audio(2.0)
    theirs = pair.reference_speech(pair.reference.get_state_for_audio_prompt(audio), SHORT, decode_steps)
    ours = pair.own_speech(pair.ours().get_state_for_audio_prompt(audio), SHORT, decode_steps)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("decode_steps", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_long_text_and_voices_exported_in_both_directions_equal_the_reference(
    pair: Pair, tmp_path: Path, decode_steps: int
) -> None:
    audio = some_audio(1.3, seed=1)
    theirs, ours = tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors"
    reference_export(pair.reference.get_state_for_audio_prompt(audio), theirs)
    export_model_state(pair.ours().get_state_for_audio_prompt(audio), ours)

    # Small random models cross 0 now and then; for large ones, which are slow, speech ends as early as possible.
    threshold = 0.0 if pair.reference.flow_lm.dim < 1000 else ALWAYS
    expected = pair.reference_speech(pair.reference.get_state_for_audio_prompt(ours), LONG, decode_steps, threshold)
    spoken = pair.own_speech(pair.ours().get_state_for_audio_prompt(theirs), LONG, decode_steps, threshold)
    assert len(expected.latents) > 1
    assert_equal(spoken, expected)


def test_continuing_from_the_last_text_equals_the_reference(pair: Pair) -> None:
    """`copy_state=False`: the second text is spoken with the first in the KV cache."""
    audio = some_audio(1.0, seed=2)
    theirs, ours = pair.reference.get_state_for_audio_prompt(audio), pair.ours().get_state_for_audio_prompt(audio)
    for text in ("Go.", "Sewa mi the tido."):
        options = {"copy_state": False, "frames_after_eos": 2}
        expected = pair.reference_speech(theirs, text, 1, ALWAYS, **options)
        assert_equal(pair.own_speech(ours, text, 1, ALWAYS, **options), expected)


def test_every_published_variant_has_a_tested_shape() -> None:
    tested = {arithmetic(shape.variant) for shape in SHAPES}
    assert len(variant_names()) >= 26
    assert {arithmetic(name) for name in variant_names()} == tested
    assert len(tested) < 16


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(write_embedded_config(tmp_path_factory.mktemp("trained")))


@pytest.mark.parametrize("decode_steps", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_every_frame_of_trained_weights_equals_the_reference_after_the_same_past(
    trained: Pair, decode_steps: int
) -> None:
    """Trained weights amplify rounding from frame to frame, so each frame is computed from the reference's past."""
    text, clara = "Who can tell the secrets of their hearts and minds? Take not a single bit! Yes.", "clara.safetensors"
    model = trained.ours(decode_steps, -1.0)
    voice = EMBEDDED / "voices" / clara
    expected = trained.reference_speech(trained.reference.get_state_for_audio_prompt(voice), text, decode_steps, -1.0)
    spoken = synthesize(model, model.get_state_for_audio_prompt(voice), text, past=expected.latents)
    assert spoken.frames == expected.frames
    for ours, theirs in zip(spoken.latents, expected.latents, strict=True):
        torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)
