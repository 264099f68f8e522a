"""Alignment heads: parsing, files next to the weights and in the data folder, and the catalogue."""

from dataclasses import replace
from pathlib import Path

import pytest

from sayline_tts.engine.checkpoint import catalogue
from sayline_tts.engine.checkpoint.alignment_heads import ALIGNMENT_FILE, AlignmentHeads, read_heads, write_heads
from sayline_tts.engine.checkpoint.checkpoint import Checkpoint
from sayline_tts.engine.errors import CheckpointError
from sayline_tts.engine.models.model import Model

HEADS = AlignmentHeads(((3, 8), (2, 0), (3, 1)), lead_ms=12.5)


def test_heads_parse_and_format_as_layer_dot_head() -> None:
    assert AlignmentHeads.parse("3.8 2.0 3.1", 12.5) == HEADS
    assert str(HEADS) == "3.8 2.0 3.1"
    assert HEADS.by_layer == {3: (8, 1), 2: (0,)}


@pytest.mark.parametrize("text", ["", "3", "3.8.1", "a.b"])
def test_malformed_heads_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"layer\.head|invalid literal"):
        AlignmentHeads.parse(text)


@pytest.fixture
def checkpoint(model: Model, tmp_path: Path) -> Checkpoint:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    return replace(model.checkpoint, weights=weights, known_heads=None, calibrations=tmp_path / "calibrations")


def write(checkpoint: Checkpoint, heads: AlignmentHeads | None, score: float) -> Path:
    write_heads(checkpoint.calibration_file, checkpoint.weights, heads, score)
    return checkpoint.calibration_file


def test_written_heads_are_read_back(checkpoint: Checkpoint) -> None:
    assert not checkpoint.calibrated
    assert checkpoint.heads is None
    heads = AlignmentHeads(((3, 1), (0, 0)), 7.0)
    path = write(checkpoint, heads, 0.91)
    assert read_heads(path, checkpoint.config.flow_lm.transformer) == heads
    assert "score: 0.91" in path.read_text()
    assert replace(checkpoint).heads == heads
    assert checkpoint.calibrated


def test_calibration_belongs_to_its_weights(checkpoint: Checkpoint) -> None:
    write(checkpoint, HEADS, 0.9)
    checkpoint.weights.write_bytes(b"other weights")
    other = replace(checkpoint)
    assert other.heads is None
    assert not other.calibrated


def test_calibration_goes_before_the_file_of_the_checkpoint(checkpoint: Checkpoint) -> None:
    shipped, found = AlignmentHeads(((0, 0),)), AlignmentHeads(((3, 1),))
    write_heads(checkpoint.weights.with_name(ALIGNMENT_FILE), checkpoint.weights, shipped, 0.7)
    assert replace(checkpoint).heads == shipped
    write(checkpoint, found, 0.9)
    assert replace(checkpoint).heads == found
    assert replace(checkpoint, calibrations=None).heads == shipped


def test_file_without_heads_falls_back_to_the_catalogue(checkpoint: Checkpoint) -> None:
    write(checkpoint, None, 0.2)
    assert replace(checkpoint, known_heads=HEADS).heads == HEADS  # those of the catalogue
    assert checkpoint.heads is None


@pytest.mark.parametrize("text", ["heads: '9.0'", "heads: '0.99'", "heads: x", "eyes: '0.0'", "- 1", ": :"])
def test_invalid_alignment_file_suggests_calibrate(checkpoint: Checkpoint, text: str) -> None:
    checkpoint.weights.with_name(ALIGNMENT_FILE).write_text(text)
    with pytest.raises(CheckpointError, match="sayline calibrate"):
        _ = checkpoint.heads


def test_catalogue_lists_heads_of_all_variants_but_those_that_nobody_has_measured() -> None:
    unknown = [name for name in catalogue.variant_names() if not catalogue.alignment_heads(name)]
    assert unknown == ["english_2026-10"]


def test_catalogue_heads_exist_in_their_models() -> None:
    for name in filter(catalogue.alignment_heads, catalogue.variant_names()):
        heads, shape = catalogue.alignment_heads(name), catalogue.variant_config(name).flow_lm.transformer
        assert heads is not None
        assert all(layer < shape.num_layers and head < shape.num_heads for layer, head in heads.heads)
