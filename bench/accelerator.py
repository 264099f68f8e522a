"""Check and measure the engine on an accelerator, in minutes: `python -m sayline_tts.bench.accelerator --out FOLDER`.

Each check runs by itself: if one fails, its error is recorded and the others go on. Results are printed as a table and
written to `accelerator.json` after each check, so that an interrupted run keeps what it measured. `accelerator.sh` sets
up a machine for it, and measures the server besides.

- **capture**: time and memory to create an engine with its CUDA graphs.
- **parity**: audio of the device in float32 and in bfloat16, against that of the CPU in float32. Only the first frames
  are compared, because trained weights amplify rounding from one frame to the next.
- **company**: one utterance alone, and among others that come and go.
- **steps**: a step of 1, 2, 4, ... rows, and how many listeners that supplies.
"""

import argparse
import json
import math
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sayline_tts.bench.engine_bench import EngineBench
from sayline_tts.bench.engine_times import StepTime
from sayline_tts.bench.load.checkpoint import voice_audio
from sayline_tts.bench.report.system_info import SystemInfo
from sayline_tts.engine.checkpoint.checkpoint import Checkpoint, find_checkpoint
from sayline_tts.engine.device import uses_static_shapes
from sayline_tts.engine.engine import Engine, FrameSpoken
from sayline_tts.engine.models.model import Model
from sayline_tts.engine.models.voice import Voice
from sayline_tts.engine.scheduling.utterance import Utterance

TEXT = "We came down to the water and could see no more than a word of it."
OTHERS = ("Yes.", "It is a fine day, is it not?", "No more than a word.", "They were there before us, all of them.")
COMPARED_FRAMES = 4
TOLERANCE = 1e-3  # of float32 audio in [-1, 1], device against CPU
MIN_SNR_DB = 10.0  # of bfloat16 audio: below, something is wrong, and not only rounded
MOST_ROWS = 2048
STEP_COUNT = 25
FRAME_SHARE = 0.9  # of a frame's time that a step may take
STUCK_S = 60.0

Values = dict[str, Any]


@dataclass
class Outcome:
    """Of one check. `error`: why it failed, with the traceback; None: it passed."""

    name: str
    seconds: float = 0.0
    values: Values = field(default_factory=dict)
    error: str | None = None


class AcceleratorCheck:
    """`checkpoint` on `device`; `slots`: of the engine whose steps are measured."""

    def __init__(self, checkpoint: Checkpoint, device: str, precision: str, slots: int, step_count: int) -> None:
        self._checkpoint, self._device, self._precision = checkpoint, device, precision
        self._slots, self._step_count = slots, step_count

    def checks(self) -> Iterator[tuple[str, Callable[[], Values]]]:
        yield "capture", self.capture
        yield "parity", self.parity
        yield "company", self.company
        yield "steps", self.steps

    def capture(self) -> Values:
        """Create an engine with graphs for all sizes, and one step."""
        start_s = time.perf_counter()
        model = self._load(self._precision)
        loaded_s = time.perf_counter()
        weights = self._memory_mb()
        engine = Engine(model, self._slots)
        created_s = time.perf_counter()
        speak(engine, utterance(model, voice_of(model), OTHERS[0]))
        engine.close()
        return {
            "load_s": loaded_s - start_s,
            "create_s": created_s - loaded_s,
            "weights_mb": weights,
            "engine_mb": self._memory_mb() - weights,
            "slots": self._slots,
        }

    def parity(self) -> Values:
        """Raises `AssertionError` if the device's audio differs from the CPU's."""
        on_cpu = Model.load(self._checkpoint, "cpu", "float32")
        voice = voice_of(on_cpu)
        expected = first_frames(on_cpu, voice)
        found: Values = {}
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        for precision in ("float32", "bfloat16"):
            audio = first_frames(self._load(precision), voice)
            found[f"{precision}_max_difference"] = float(np.abs(audio - expected).max())
            found[f"{precision}_snr_db"] = snr_db(expected, audio)
        assert found["float32_max_difference"] <= TOLERANCE, f"float32 differs from the CPU: {found}"
        assert found["bfloat16_snr_db"] >= MIN_SNR_DB, f"bfloat16 is not the same speech: {found}"
        return found

    def company(self) -> Values:
        """Speak alone, then among others that start at other times. Raises `AssertionError` if the audio differs."""
        model = self._load("float32")
        voice = voice_of(model)
        (alone,) = speak(Engine(model, 8), utterance(model, voice, TEXT))
        together = [utterance(model, voice, text, seed) for seed, text in enumerate((TEXT, *OTHERS))]
        amid = speak(Engine(model, 8), *together)[0]
        frames = COMPARED_FRAMES * round(model.sample_rate_hz * model.frame_ms / 1000)
        difference = float(np.abs(alone[:frames] - amid[:frames]).max())
        assert difference <= TOLERANCE, f"the audio depends on the company: {difference}"
        return {"max_difference": difference, "equal_to_the_last_bit": bool(np.array_equal(alone, amid))}

    def steps(self) -> Values:
        """Measure steps of more and more rows, until one takes two frames' time."""
        model = self._load(self._precision)
        bench = EngineBench(model, voice_of(model), self._slots)
        times: list[StepTime] = []
        rows = 1
        while rows <= self._slots and (not times or times[-1].step_ms <= 2 * model.frame_ms):
            times.append(bench.steps(rows, self._step_count))
            print(f"    a step of {rows} rows: {times[-1].step_ms:.2f} ms", file=sys.stderr, flush=True)
            rows *= 2
        bench.close()
        supplied = [each.rows for each in times if each.step_ms <= FRAME_SHARE * model.frame_ms]
        return {
            "precision": model.precision.value,
            "steps": [asdict(each) for each in times],
            "most_rows": max(supplied, default=0),
            "engine_mb": self._memory_mb(),
        }

    def _load(self, precision: str) -> Model:
        return Model.load(self._checkpoint, self._device, precision)

    def _memory_mb(self) -> float:
        """Memory of the device that torch has reserved, in MB."""
        return torch.cuda.memory_reserved() / 1e6 if self._device.startswith("cuda") else 0.0


def voice_of(model: Model) -> Voice:
    """The model's default voice, or one made of vowel-like audio."""
    if name := model.checkpoint.default_voice:
        return model.load_voice(name)
    return model.encode_voice(voice_audio(rate_hz=model.sample_rate_hz))


def utterance(model: Model, voice: Voice, text: str, seed: int = 0) -> Utterance:
    made = Utterance(voice, model.sampling(temperature=0.3, seed=seed), frame_ms=model.frame_ms)
    for segment in model.segments(text):
        made.add(segment)
    made.end()
    return made


def speak(engine: Engine, *utterances: Utterance) -> list[NDArray[np.float32]]:
    """Add one utterance after each step, and run until all have ended. Returns the audio of each."""
    frames: dict[Utterance, list[FrameSpoken]] = {each: [] for each in utterances}
    to_add = list(utterances)
    progress = threading.Event()
    engine.on_progress = progress.set
    while to_add or not all(each.over for each in utterances):
        if to_add:
            engine.add(to_add.pop(0))
        while not (batch := engine.schedule()) and engine.throttled:  # the codec is behind
            assert progress.wait(STUCK_S), "the codec has stopped"
            progress.clear()
        for event in engine.commit(batch, engine.run(batch) if batch else None):
            if isinstance(event, FrameSpoken):
                frames[event.utterance].append(event)
    return [np.concatenate([frame.pcm for frame in frames[each]]) for each in utterances]


def first_frames(model: Model, voice: Voice) -> NDArray[np.float32]:
    engine = Engine(model, 2)
    (audio,) = speak(engine, utterance(model, voice, TEXT))
    engine.close()
    return audio[: COMPARED_FRAMES * round(model.sample_rate_hz * model.frame_ms / 1000)]


def snr_db(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Level of `expected` over that of the difference, in dB; inf if there is none."""
    noise = float(np.square(found - expected).sum())
    return 10 * math.log10(float(np.square(expected).sum()) / noise) if noise else math.inf


def run(check: AcceleratorCheck, out: Path, machine: Values) -> list[Outcome]:
    """Run all checks and write `accelerator.json` after each."""
    outcomes: list[Outcome] = []
    out.mkdir(parents=True, exist_ok=True)
    for name, function in check.checks():
        print(f"{name} ...", file=sys.stderr, flush=True)
        outcome, start_s = Outcome(name), time.perf_counter()
        try:
            outcome.values = function()
        except Exception:  # whatever it is: the other checks are independent
            outcome.error = traceback.format_exc()
        outcome.seconds = time.perf_counter() - start_s
        outcomes.append(outcome)
        content = {"machine": machine, "checks": [asdict(each) for each in outcomes]}
        (out / "accelerator.json").write_text(json.dumps(content, indent=2), "utf-8")
    return outcomes


def table(outcomes: list[Outcome]) -> str:
    """The outcomes in Markdown."""
    lines = ["| check | result | took | values |", "|---|---|---|---|"]
    for outcome in outcomes:
        simple = {name: value for name, value in outcome.values.items() if not isinstance(value, list)}
        values = ", ".join(f"{name} {_number(value)}" for name, value in simple.items())
        if outcome.error:
            values = outcome.error.strip().splitlines()[-1]
        result = "failed" if outcome.error else "passed"
        lines.append(f"| {outcome.name} | {result} | {outcome.seconds:.0f} s | {values} |")
    steps = [each for outcome in outcomes for each in outcome.values.get("steps", [])]
    if steps:
        lines += ["", "| rows | step, ms | FlowLM, ms | codec, ms |", "|---|---|---|---|"]
        lines += [f"| {s['rows']} | {s['step_ms']:.2f} | {s['flow_ms']:.2f} | {s['codec_ms']:.2f} |" for s in steps]
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for accelerator.json and accelerator.md")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--variant", default="embedded")
    parser.add_argument("--config", type=Path, help="config of a checkpoint, instead of a variant")
    parser.add_argument("--precision", default="auto", help="for capture and steps")
    parser.add_argument("--slots", type=int, default=MOST_ROWS, help="most rows of a step")
    parser.add_argument("--steps", type=int, default=STEP_COUNT, help="timed steps of each size")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch finds no GPU; install torch with CUDA, or try `--device cpu --slots 4 --steps 2`")
    machine = asdict(SystemInfo.here()) | {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else options.device,
        "static_shapes": uses_static_shapes(device),
    }
    checkpoint = find_checkpoint(options.variant, options.config)
    check = AcceleratorCheck(checkpoint, options.device, options.precision, options.slots, options.steps)
    outcomes = run(check, options.out, machine)
    (options.out / "accelerator.md").write_text(table(outcomes) + "\n", "utf-8")
    print(table(outcomes))
    sys.exit(any(outcome.error for outcome in outcomes))


if __name__ == "__main__":
    main()
