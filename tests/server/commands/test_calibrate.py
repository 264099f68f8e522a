"""`sayline calibrate`: the head is reported and saved in the data folder."""

import io
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from sayline_tts.engine.checkpoint.alignment_heads import ALIGNMENT_FILE, AlignmentHeads
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, find_checkpoint
from sayline_tts.engine.timing import head_finder
from sayline_tts.engine.timing.head_finder import HeadRanking
from sayline_tts.server.commands import calibrate
from tests.server.commands.conftest import Sayline, usage_error

FOUND = HeadRanking((((3, 1), 0.81), ((0, 2), 0.4), ((1, 1), 0.2)))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copytree(EMBEDDED, tmp_path / "own", ignore=shutil.ignore_patterns(ALIGNMENT_FILE))
    return tmp_path / "own" / "config.yaml"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAYLINE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def heads_of(config: Path, data: Path) -> AlignmentHeads | None:
    return replace(find_checkpoint(config=config), calibrations=data / "calibrations").heads


def test_good_head_is_saved_and_used(
    sayline: Sayline, config: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_finder, "find_heads", lambda *_: FOUND)
    result = sayline("calibrate", "--config", config)
    assert result.exit_code == 0, result.output
    assert "Head 3.1 follows the words with a score of 0.81." in result.stdout
    assert "3.1 0.81, 0.2 0.40, 1.1 0.20" in result.stderr
    assert heads_of(config, data) == AlignmentHeads(((3, 1),))


def test_only_with_consent_an_earlier_result_is_replaced(
    sayline: Sayline, config: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_finder, "find_heads", lambda *_: FOUND)
    sayline("calibrate", "--config", config)
    other = HeadRanking((((0, 2), 0.9), ((3, 1), 0.4)))
    monkeypatch.setattr(head_finder, "find_heads", lambda *_: other)
    assert "exists; give --replace to replace it" in usage_error(sayline("calibrate", "--config", config))
    assert heads_of(config, data) == FOUND.heads
    assert sayline("calibrate", "--config", config, "--replace").exit_code == 0
    assert heads_of(config, data) == other.heads


@pytest.mark.parametrize(("answer", "replaced"), [("y", True), ("n", False)])
def test_terminal_is_asked(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, replaced: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    asked = calibrate.ask_to_replace
    if replaced:
        asked(tmp_path)
    else:
        with pytest.raises(typer.Abort):
            asked(tmp_path)


def test_without_a_good_head_word_times_stay_estimates(
    sayline: Sayline, config: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_finder, "find_heads", lambda *_: HeadRanking((((3, 1), 0.3), ((0, 2), 0.2))))
    assert "stay estimates" in sayline("calibrate", "--config", config, "-q").stdout
    assert heads_of(config, data) is None


def test_real_model_with_custom_sentences(sayline: Sayline, config: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "sentences.txt").write_text("It is late.\n\n  Good night.\n")
    result = sayline("calibrate", "--config", config, "--sentences", "sentences.txt")
    assert result.exit_code == 0, result.output
    assert len(list((data / "calibrations").glob("*.yaml"))) == 1
    assert not (config.parent / ALIGNMENT_FILE).exists()


@pytest.mark.parametrize(
    ("content", "expected"), [(None, "cannot read"), (b"\xff", "cannot read"), (b" \n", "is empty")]
)
def test_unusable_sentences_are_reported(
    sayline: Sayline, tmp_path: Path, content: bytes | None, expected: str
) -> None:
    if content is not None:
        (tmp_path / "s.txt").write_bytes(content)
    assert expected in usage_error(sayline("calibrate", "--sentences", "s.txt"))


def test_unwritable_folder_is_reported(sayline: Sayline, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(head_finder, "find_heads", lambda *_: FOUND)
    monkeypatch.setattr("sayline_tts.engine.checkpoint.alignment_heads.write_heads", refuse)
    assert "(Permission denied); make it writable, or give another --data" in usage_error(
        sayline("calibrate", "--config", config)
    )
