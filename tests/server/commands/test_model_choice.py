"""Which model is loaded, and as what voice it speaks."""

from pathlib import Path

import pytest
import torch

from sayline_tts.engine.errors import VoiceError
from sayline_tts.server.commands.model_choice import ModelChoice, check_voice, load_voice
from sayline_tts.server.commands.terminal import Terminal
from tests.server.commands.conftest import CountingModel


@pytest.mark.parametrize("source", ["./nobody.wav", "nobody.wav", "folder/nobody"])
def test_a_path_that_is_not_there_is_found_before_the_model_is_loaded(source: str) -> None:
    with pytest.raises(VoiceError, match="there is no file"):
        check_voice(source)


def test_a_folder_is_no_voice(tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="is a folder"):
        check_voice(str(tmp_path))


@pytest.mark.parametrize(
    "source", ["alba", "https://example.org/voice.wav", "hf://owner/repository/voice.wav", __file__]
)
def test_what_may_be_a_voice_is_left_to_the_model(source: str) -> None:
    check_voice(source)


def test_loading_says_which_weights_those_are(counting: CountingModel, capsys: pytest.CaptureFixture[str]) -> None:
    ModelChoice("embedded", None, "cpu", threads=1, precision="auto").load(Terminal(quiet=False))
    assert "Weights: a stand-in for tests\n" in capsys.readouterr().err


def test_no_more_threads_are_taken_than_there_are_cores(counting: CountingModel) -> None:
    before = torch.get_num_threads()
    ModelChoice("embedded", None, "cpu", threads=10**6, precision="auto").load(Terminal(quiet=True))
    assert torch.get_num_threads() < 10**6
    torch.set_num_threads(before)


def test_a_model_without_voices_asks_for_one(counting: CountingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountingModel, "default_voice", "")
    model, _ = ModelChoice("embedded", None, "cpu", threads=1, precision="auto").load(Terminal(quiet=True))
    with pytest.raises(VoiceError, match="--voice"):
        load_voice(model, None)
