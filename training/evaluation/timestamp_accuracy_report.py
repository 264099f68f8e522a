"""Reports of the timestamp accuracy: the table of docs/word-timing.md, and two charts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.evaluation.forced_alignment import Interval
from training.evaluation.timestamp_chart import draw_words
from training.evaluation.timestamped_synthesis import TimestampedSpeech

# Key in the JSON, heading.
ROWS = (
    ("told", "reported timestamps, against forced alignment"),
    ("estimated", "timestamps estimated from spelling in the same speech, against forced alignment"),
    ("teacher_forced", "reported timestamps of teacher-forced audio, against the synthesizer's times"),
    ("recogniser", "forced alignment of the teachers' audio, against the synthesizer's times (error floor)"),
)
HEADINGS = ("mean error", "starts", "ends", "median", "95th percentile", "bias", "over 200 ms")


def table(result: dict[str, Any]) -> str:
    lines = ["| ms | " + " | ".join(HEADINGS) + " |", "|---|" + "---|" * len(HEADINGS)]
    lines += [f"| {heading} | " + " | ".join(_cells(result[name])) + " |" for name, heading in ROWS]
    lead, left_out = result["lead"], len(result["not_aligned"])
    unknown = ", ".join(result["unknown_words"])
    return "\n".join(lines) + (
        f"\n\nTwo values are for starts / ends. {result['told']['words']} words; {left_out} of {result['sentences']} "
        f"sentences could not be aligned{f' (not in the dictionary: {unknown})' if unknown else ''}. "
        f"Reported timestamps are {result['times_better']:.1f} times as accurate as estimated ones. "
        f"Every word was reported once, in order. `lead_ms` is {lead['now_ms']:g} "
        f"(mean error {lead['error_ms']:.1f} ms on other sentences); the best value for these is {lead['best_ms']:g} "
        f"({lead['best_error_ms']:.1f} ms)."
    )


def _cells(measured: dict[str, Any]) -> list[str]:
    sides = measured["starts"], measured["ends"]
    forms = (("median_ms", "{:.0f}"), ("p95_ms", "{:.0f}"), ("bias_ms", "{:+.0f}"), ("far", "{:.1%}"))
    pairs = [" / ".join(form.format(side[name]) for side in sides) for name, form in forms]
    return [f"{each['mean_ms']:.0f}" for each in (measured, *sides)] + pairs


def write_pictures(folder: Path, known: Sequence[tuple[TimestampedSpeech, Sequence[Interval]]], rate_hz: int) -> None:
    """Write charts of the first sentence, and of the first other one that contains a comma."""
    chosen = [*known[:1], *[each for each in known[1:] if "," in each[0].text][:1]]
    for number, (speech, reference) in enumerate(chosen, 1):
        (folder / f"words-{number}.svg").write_text(draw_words(speech, reference, rate_hz), encoding="utf-8")
