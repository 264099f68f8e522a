"""Every setting as people see it: its flag, its variables, what it may be. `python -m sayline_tts.server.settings_table` writes
the table of `docs/settings.md`. Knows only what `sayline_tts.server.settings` says of its fields.
"""

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sayline_tts.server.settings import Settings

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
COMMAND = "python -m sayline_tts.server.settings_table"
COUNTED = ("insecure",)  # flags without a value: how often they are given is what counts
SIGNS = {"Ge": "from {}", "Gt": "more than {}", "Le": "to {}", "Lt": "less than {}"}

HEAD = f"""\
# Settings

Every setting of `sayline serve`: as a flag, or as an environment variable, where the flag wins. A wrong one is named,
and the server does not start. The items of a list are separated by commas. `sayline doctor` looks at what all this
meets on this machine.

This table is written by `{COMMAND}`; a test compares it.

| flag | variable | default | may be | |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Setting:
    name: str
    variables: tuple[str, ...]
    default: str  # "" is none
    allowed: str
    meaning: str
    is_switch: bool
    is_list: bool

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def is_counted(self) -> bool:
        return self.name in COUNTED

    @property
    def placeholder(self) -> str:
        """What stands for its value in a help text: its unit, where it has one."""
        unit = self.name.rpartition("_")[2].upper()
        return unit if unit in ("MS", "S", "MB", "DB") else "VALUE"

    def row(self) -> str:
        variables = ", ".join(f"`{name}`" for name in self.variables)
        default = f"`{self.default}`" if self.default else ""
        flag = f"`{self.flag}`, `--no-{self.flag[2:]}`" if self.is_switch else f"`{self.flag}`"
        cells = (flag, variables, default, self.allowed, self.meaning)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def settings() -> list[Setting]:
    return [_setting(name, field) for name, field in Settings.model_fields.items()]


def document() -> str:
    return HEAD + "".join(f"{setting.row()}\n" for setting in settings())


def _setting(name: str, field: FieldInfo) -> Setting:
    assert field.description, f"{name} has no description"
    kind = _kind(field.annotation)
    return Setting(
        name=name,
        variables=tuple(_variables(name, field)),
        default=_written(field.get_default(call_default_factory=True)),
        allowed=_allowed(kind, field),
        meaning=field.description,
        is_switch=kind is bool,
        is_list=typing.get_origin(kind) in (list, tuple, set, frozenset),
    )


def _kind(annotation: Any) -> Any:
    """Without `None`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(kind for kind in typing.get_args(annotation) if kind is not type(None))
    return annotation


def _variables(name: str, field: FieldInfo) -> Iterator[str]:
    match field.validation_alias:
        case None:
            yield f"{Settings.model_config['env_prefix']}{name.upper()}"
        case AliasChoices(choices=choices):
            yield from map(str, choices)
        case alias:
            yield str(alias)


def _allowed(kind: Any, field: FieldInfo) -> str:
    if typing.get_origin(kind) is Literal:
        return ", ".join(map(str, typing.get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(str(each.value) for each in kind)
    limits = {type(limit).__name__: limit for limit in field.metadata}
    return " ".join(
        sign.format(_written(getattr(limits[name], name.lower()))) for name, sign in SIGNS.items() if name in limits
    )


def _written(value: Any) -> str:
    if value is None or value is PydanticUndefined or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) < 1e6 else str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(_written, value))
    return str(value)


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
