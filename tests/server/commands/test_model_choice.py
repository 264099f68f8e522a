"""Loading of models and voices for commands."""

from pathlib import Path

import pytest
import torch

from sayline_tts.engine.errors import VoiceError
from sayline_tts.server.commands.model_choice import ModelChoice, check_voice, load_voice
from sayline_tts.server.commands.terminal import Terminal
from tests.server.commands.conftest import CountingModel


@pytest.mark.parametrize("source", ["./nobody.wav", "nobody.wav", "folder/nobody"])
def test_missing_voice_file_is_reported_before_loading(source: str) -> None:
    with pytest.raises(VoiceError, match="no such file"):
        check_voice(source)


def test_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="is a folder"):
        check_voice(str(tmp_path))


@pytest.mark.parametrize(
    "source", ["alba", "https://example.org/voice.wav", "hf://owner/repository/voice.wav", __file__]
)
def test_names_urls_and_existing_files_pass(source: str) -> None:
    check_voice(source)


def test_loading_prints_the_weights(counting: CountingModel, capsys: pytest.CaptureFixture[str]) -> None:
    ModelChoice("embedded", None, "cpu", threads=1, precision="auto").load(Terminal(quiet=False))
    assert "Weights: a stand-in for tests\n" in capsys.readouterr().err


def test_threads_are_limited_to_the_cores(counting: CountingModel) -> None:
    before = torch.get_num_threads()
    ModelChoice("embedded", None, "cpu", threads=10**6, precision="auto").load(Terminal(quiet=True))
    assert torch.get_num_threads() < 10**6
    torch.set_num_threads(before)


def test_model_without_default_voice_requires_one(counting: CountingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountingModel, "default_voice", "")
    model, _ = ModelChoice("embedded", None, "cpu", threads=1, precision="auto").load(Terminal(quiet=True))
    with pytest.raises(VoiceError, match="--voice"):
        load_voice(model, None)
