"""A training run: its folder, step, checkpoint and loss log. It can be killed at any time and resumed."""

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from sayline_tts.engine.checkpoint.atomic_write import atomic_file
from training.trainer.device import current_device

CHECKPOINT_S = 300.0
REPORT_STEPS = 50


def append_json(path: Path, line: Mapping[str, object]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


class TrainingRun:
    """Saves the state of `parts` in `folder/checkpoint.pt` and logs losses to `folder/log.jsonl`.

    Loads the checkpoint if there is one; a part that is missing in it keeps its initial state.
    """

    def __init__(self, folder: Path, parts: dict[str, Stateful]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.step, self._parts = folder, 0, parts
        self._saved_s = self._reported_s = time.monotonic()
        self._losses: dict[str, list[float]] = defaultdict(list)
        self._count = 0
        if self.path.exists():
            state = torch.load(self.path, weights_only=True, map_location=current_device())
            self.step = state["step"]
            for name, part in parts.items():
                if name in state:
                    part.load_state_dict(state[name])

    @property
    def path(self) -> Path:
        return self.folder / "checkpoint.pt"

    def log_step(self, losses: dict[str, float]) -> None:
        """Count a finished step; report mean losses and save a checkpoint from time to time.

        A loss that only some steps have is averaged over these.
        """
        self.step += 1
        self._count += 1
        for name, loss in losses.items():
            self._losses[name].append(loss)
        if self.step % REPORT_STEPS == 0:
            now_s = time.monotonic()
            means = {name: sum(values) / len(values) for name, values in self._losses.items()}
            self.report("training", means | {"step_s": (now_s - self._reported_s) / self._count})
            self._reported_s, self._losses, self._count = now_s, defaultdict(list), 0
        if time.monotonic() - self._saved_s > CHECKPOINT_S:
            self.save()

    def report(self, kind: str, values: dict[str, float]) -> None:
        line = {"step": self.step, "kind": kind, **{name: round(value, 4) for name, value in values.items()}}
        append_json(self.folder / "log.jsonl", line)
        print(" ".join(f"{name} {value}" for name, value in line.items()), flush=True)

    def save(self) -> None:
        state = {"step": self.step} | {name: part.state_dict() for name, part in self._parts.items()}
        with atomic_file(self.path) as file:
            torch.save(state, file)
        self._saved_s = time.monotonic()
