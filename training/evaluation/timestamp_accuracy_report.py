"""What `training.evaluation.timestamp_accuracy` found, for people: the table of docs/word-timing.md and two pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.evaluation.spoken_words import SpokenWords
from training.evaluation.word_picture import draw_words
from training.evaluation.word_times import Time

# Name in the JSON, heading.
ROWS = (
    ("told", "told by the model as it speaks, against forced alignment"),
    ("estimated", "estimated by length in the same speech, against the same"),
    ("teacher_forced", "told of the teachers' audio through the model, against the synthesizer's own times"),
    ("recogniser", "forced alignment of the teachers' audio, against the same: the floor"),
)
HEADINGS = ("error", "of starts", "of ends", "median", "95 %", "bias", "beyond 200 ms")


def table(result: dict[str, Any]) -> str:
    lines = ["| ms | " + " | ".join(HEADINGS) + " |", "|---|" + "---|" * len(HEADINGS)]
    lines += [f"| {heading} | " + " | ".join(_cells(result[name])) + " |" for name, heading in ROWS]
    lead, left_out = result["lead"], len(result["not_aligned"])
    unknown = ", ".join(result["unknown_words"])
    return "\n".join(lines) + (
        f"\n\nStarts / ends where there are two. {result['told']['words']} words; of {result['sentences']} sentences "
        f"{left_out} could not be aligned{f' (its dictionary lacks {unknown})' if unknown else ''}. "
        f"What is told is {result['times_better']:.1f} times as near as the estimate. "
        f"Every word was told once, in order. `lead_ms` is {lead['now_ms']:g} "
        f"({lead['error_ms']:.1f} ms off on other sentences); {lead['best_ms']:g} would be best for these "
        f"({lead['best_error_ms']:.1f} ms)."
    )


def _cells(measured: dict[str, Any]) -> list[str]:
    sides = measured["starts"], measured["ends"]
    forms = (("median_ms", "{:.0f}"), ("p95_ms", "{:.0f}"), ("bias_ms", "{:+.0f}"), ("far", "{:.1%}"))
    pairs = [" / ".join(form.format(side[name]) for side in sides) for name, form in forms]
    return [f"{each['mean_ms']:.0f}" for each in (measured, *sides)] + pairs


def write_pictures(folder: Path, known: Sequence[tuple[SpokenWords, Sequence[Time]]], rate_hz: int) -> None:
    """Of the first sentence and of the first other one that has a pause."""
    chosen = [*known[:1], *[each for each in known[1:] if "," in each[0].text][:1]]
    for number, (said, truth) in enumerate(chosen, 1):
        (folder / f"words-{number}.svg").write_text(draw_words(said, truth, rate_hz), encoding="utf-8")
