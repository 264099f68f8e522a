"""`sayline calibrate`: what is found is told, and kept beside the weights, where a server finds it."""

import shutil
from pathlib import Path

import pytest

from sayline_tts.engine.checkpoint.alignment_heads import FILE, AlignmentHeads
from sayline_tts.engine.checkpoint.checkpoint import EMBEDDED, find_checkpoint
from sayline_tts.engine.timing import head_finder
from sayline_tts.engine.timing.head_finder import Found
from tests.server.commands.conftest import Sayline, mistake

FOUND = Found((((3, 1), 0.81), ((0, 2), 0.4), ((1, 1), 0.2)))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    shutil.copytree(EMBEDDED, tmp_path / "own", ignore=shutil.ignore_patterns(FILE))
    return tmp_path / "own" / "config.yaml"


def test_a_head_that_follows_is_kept_and_used(sayline: Sayline, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_finder, "find_heads", lambda *_: FOUND)
    result = sayline("calibrate", "--config", config)
    assert result.exit_code == 0, result.output
    assert "Head 3.1 follows the words: 0.81." in result.stdout
    assert "3.1 0.81, 0.2 0.40, 1.1 0.20" in result.stderr
    assert find_checkpoint(config=config).heads == AlignmentHeads(((3, 1),))


def test_where_none_is_good_enough_times_stay_estimates(
    sayline: Sayline, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_finder, "find_heads", lambda *_: Found((((3, 1), 0.3), ((0, 2), 0.2))))
    assert "stay estimates" in sayline("calibrate", "--config", config, "-q").stdout
    assert find_checkpoint(config=config).heads is None


def test_a_real_model_is_asked_with_ones_own_sentences(sayline: Sayline, config: Path, tmp_path: Path) -> None:
    (tmp_path / "sentences.txt").write_text("It is late.\n\n  Good night.\n")
    result = sayline("calibrate", "--config", config, "--sentences", "sentences.txt")
    assert result.exit_code == 0, result.output
    assert (config.parent / FILE).is_file()


@pytest.mark.parametrize(
    ("content", "told"), [(None, "cannot be read"), (b"\xff", "cannot be read"), (b" \n", "no sentence")]
)
def test_sentences_that_cannot_be_used_are_told(
    sayline: Sayline, tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "s.txt").write_bytes(content)
    assert told in mistake(sayline("calibrate", "--sentences", "s.txt"))


def test_a_folder_that_cannot_be_written_to_is_told(
    sayline: Sayline, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(head_finder, "find_heads", lambda *_: FOUND)
    monkeypatch.setattr("sayline_tts.engine.checkpoint.alignment_heads.write_heads", refuse)
    assert "cannot be written to (Permission denied)" in mistake(sayline("calibrate", "--config", config))
