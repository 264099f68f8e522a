"""The file next to the weights that limits voice prompts."""

from pathlib import Path

import pytest

from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, find_checkpoint
from sayline_tts.engine.checkpoint.prompt_limit import CLONING_FILE, read_max_prompt_s
from sayline_tts.engine.errors import CheckpointError


def test_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / CLONING_FILE).write_text("max_prompt_s: 7.5\n")
    assert read_max_prompt_s(tmp_path / "model.safetensors") == 7.5


def test_without_the_file_there_is_no_limit(tmp_path: Path) -> None:
    assert read_max_prompt_s(tmp_path / "model.safetensors") is None


@pytest.mark.parametrize("text", ["", "max_prompt_s: long", "max_prompt_s: 0.1", "seconds: 3", "max_prompt_s: ["])
def test_malformed_file_is_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / CLONING_FILE).write_text(text)
    with pytest.raises(CheckpointError, match=r"(?s)cloning\.yaml: .*set max_prompt_s to seconds"):
        read_max_prompt_s(tmp_path / "model.safetensors")


def test_embedded_model_has_a_limit() -> None:
    assert find_checkpoint("embedded").max_prompt_s == read_max_prompt_s(EMBEDDED / "model.safetensors") is not None
