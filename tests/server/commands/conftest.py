"""Fixtures that run commands as typed by a user, with a recording model or with the embedded one, loaded once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from huggingface_hub.utils import enable_progress_bars  # type: ignore[attr-defined]
from torch import Tensor
from typer.testing import CliRunner, Result

from sayline_tts.engine.tts_model import TTSModel
from sayline_tts.server.cli import register

Sayline = Callable[..., Result]
FRAME_SAMPLES = 1920


class CountingModel:
    """Generates three frames for any text, and records its arguments in `calls`."""

    sample_rate, reason, default_voice, voices = 24_000, "a stand-in for tests", "nobody", ("nobody", "somebody")

    def __init__(self) -> None:
        self.calls: dict[str, Any] = {}
        self.interrupt: BaseException | None = None

    def get_state_for_audio_prompt(self, source: str | Path, truncate: bool = False) -> str:
        self.calls |= {"voice": source, "truncate": truncate}
        return "a voice"

    def generate_audio_stream(
        self, state: str, text: str, frames_after_eos: int | None, seed: int | None
    ) -> Iterator[Tensor]:
        self.calls |= {"text": text, "frames_after_eos": frames_after_eos, "seed": seed}
        return self._frames()

    def _frames(self) -> Iterator[Tensor]:
        for number in range(3):
            if number == 2 and self.interrupt:
                raise self.interrupt
            yield torch.full((FRAME_SAMPLES,), 0.25)


@pytest.fixture
def sayline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sayline]:
    """Run `sayline <arguments>` in an empty folder."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    register(app)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, stdin: bytes | None = None, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, env=env)

    yield run
    enable_progress_bars()  # `-q` disables them for the whole process


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> CountingModel:
    model = CountingModel()

    def load_model(*arguments: object) -> CountingModel:
        names = ("variant", "config", "temp", "lsd_decode_steps", "noise_clamp", "eos_threshold", "device", "precision")
        model.calls |= dict(zip(names, arguments, strict=True))
        return model

    monkeypatch.setattr(TTSModel, "load_model", load_model)
    return model


@pytest.fixture(scope="session")
def loaded() -> TTSModel:
    return TTSModel.load_model("embedded", temp=0.7, precision="float32")


@pytest.fixture
def embedded(loaded: TTSModel, monkeypatch: pytest.MonkeyPatch) -> TTSModel:
    monkeypatch.setattr(TTSModel, "load_model", lambda *_: loaded)
    return loaded


def usage_error(result: Result) -> str:
    """Assert that the command failed with a usage error, and return its message."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    lines = [line for line in result.stderr.splitlines() if line.startswith("sayline: ")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == lines[0]
    return lines[0]
