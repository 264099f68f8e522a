"""The tool that measures speech for a text that is being written, on the embedded model."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from sayline_tts.bench.writer import measure
from sayline_tts.bench.writer.measure import Case, WriterBench
from sayline_tts.bench.writer.pieces import Piece


def test_text_is_written_at_once_or_in_tokens_or_words() -> None:
    assert Case(2, 0).pieces("One sentence.") == [Piece("One sentence.", 0.0)]
    assert Case(2, 4).pieces("One sentence.") == [Piece("One", 0.0), Piece(" sentence.", 250.0)]
    tokens = Case(2, 4, tokens=True).pieces("One sentence.")
    assert [piece.text for piece in tokens] == ["One", " senten", "ce."]
    assert str(Case(2, 0)) == "2 words ahead, whole text"
    assert str(Case(0, 4, tokens=True)) == "0 words ahead, 4 tokens a second"


def test_cases_are_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LONG_SENTENCES", ("We walk along the old river until the sun is low.",))
    monkeypatch.setattr(measure, "quality", lambda bench, case, texts: {"case": str(case), "texts": len(texts)})
    out = tmp_path / "writer.jsonl"
    arguments = ["--lookahead-words", "0", "2", "--tokens-a-second", "8", "--words-a-second", "4", "--judge"]
    monkeypatch.setattr("sys.argv", ["measure", *arguments, "--sentences", "3", "--out", str(out)])
    measure.main()
    late, early, *judged = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert early["case"] == "2 words ahead, 8 tokens a second"
    assert early["first_audio_ms"] < 450 < late["first_audio_ms"]
    assert judged == [{"case": f"{words} words ahead, 4 words a second", "texts": 3} for words in (0, 2)]


def test_quality_is_judged_by_the_same_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    class Judges:
        def measure(self, source: SimpleNamespace, texts: list[str]) -> dict[str, int]:
            return {"samples": sum(len(source.synthesize("clara", text)) for text in texts)}

    judges = SimpleNamespace(Judges=Judges, SpeechSource=lambda *args: SimpleNamespace(synthesize=args[1]))
    monkeypatch.setitem(__import__("sys").modules, "training.evaluation.judges", judges)
    bench = WriterBench("embedded", "auto", 0.0)
    found = measure.quality(bench, Case(2, 8), ["We walk along the old river."])
    bench.close()
    assert found["samples"] == found["frames"] * bench.model.frame_samples
    assert found["extensions"] > 0
    assert found["extended_positions"] > found["extensions"]
    assert found["cpu_s_per_s"] > 0
