"""Scenarios: what a client does and what it must report, read from `scenarios/*.txt`.

    # the name of a scenario
    a start {voice: angus}
    a push "Hello there. "
    a read 2
      0 word "Hello" 0-5, 0-80 ms
      1 frame at 0 ms: packet 0

A line is an actor, what it does, and with what, in YAML. The actor is `server`, `client` (its session), or a context by
any name. Lines that are indented are what comes of it, in the common form; without any, nothing must. `later a read`
is not waited for: `a answers` has what came of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "scenarios"


@dataclass(frozen=True)
class Step:
    actor: str
    verb: str
    content: Any
    expected: tuple[str, ...]
    later: bool = False


@dataclass(frozen=True)
class Scenario:
    name: str
    steps: tuple[Step, ...]


def all_scenarios() -> list[Scenario]:
    return [scenario for path in sorted(FOLDER.glob("*.txt")) for scenario in parse(path.read_text("utf-8"))]


def parse(text: str) -> list[Scenario]:
    blocks = [block.strip("\n").split("\n") for block in f"\n{text}".split("\n# ")[1:]]
    return [Scenario(name, steps_of(lines)) for name, *lines in blocks]


def steps_of(lines: list[str]) -> tuple[Step, ...]:
    steps: list[tuple[str, list[str]]] = []
    for line in filter(str.strip, lines):
        if line.startswith("  "):
            steps[-1][1].append(line.strip())
        else:
            steps.append((line, []))
    return tuple(step_of(line, expected) for line, expected in steps)


def step_of(line: str, expected: list[str]) -> Step:
    at_once = line.removeprefix("later ")
    actor, verb, *rest = at_once.split(" ", 2)
    return Step(actor, verb, yaml.safe_load(rest[0]) if rest else None, tuple(expected), at_once != line)
