"""What the server logs: one line for each event, JSON or pretty, with its session's id. Never any text, never a key.

Our own messages are written so that they hold neither. Others cannot be trusted with that: of a message of asyncio or
aiohttp, which may show the arguments of a callback, only the part that is always the same is kept; of an error, its
type and where it happened, and what it says only where the interpreter and the system say it, not somebody's input.
"""

import contextvars
import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

Format = Literal["pretty", "json"]

OURS = ("server", "engine", "sayline")
QUOTING = re.compile("[\n\"'`(<\\[{]")  # from here on a message of others may quote somebody's input
NO_SESSION = "-"
# Errors whose message does not quote a value. That of a `KeyError` or a `UnicodeError` does.
MAY_SPEAK = (ArithmeticError, AssertionError, AttributeError, IndexError, MemoryError, RuntimeError, TypeError)
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "session"}

_session: contextvars.ContextVar[str] = contextvars.ContextVar("session", default=NO_SESSION)


@contextmanager
def in_session(session_id: str) -> Iterator[None]:
    """What is logged in here, and in tasks begun in here, carries this id."""
    token = _session.set(session_id)
    try:
        yield
    finally:
        _session.reset(token)


def set_up(format: Format, level: str = "info", stream: TextIO | None = None) -> None:
    """All logging of this process, from now on, to standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter() if format == "json" else _PrettyFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)


class _Formatter(logging.Formatter):
    """Gathers what may be told of a record; how it is written is for the two below."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        error = record.exc_info[1] if record.exc_info else None
        return self.write(record, message(record), fields, [] if error is None else describe(error))

    def write(self, record: logging.LogRecord, said: str, fields: dict[str, object], error: list[str]) -> str:
        raise NotImplementedError


class _JsonFormatter(_Formatter):
    def write(self, record: logging.LogRecord, said: str, fields: dict[str, object], error: list[str]) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "session": _session.get(),
            "logger": record.name,
            "message": said,
            **fields,
        }
        if error:
            line["error"] = error
        return json.dumps(line, ensure_ascii=False, default=str)


class _PrettyFormatter(_Formatter):
    def write(self, record: logging.LogRecord, said: str, fields: dict[str, object], error: list[str]) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        more = "".join(f" {name}={value}" for name, value in fields.items())
        line = f"{at} {record.levelname:7} {_session.get():8} {record.name}: {said}{more}"
        return "\n".join([line.replace("\n", "\\n"), *(f"    {part}" for part in error)])


def message(record: logging.LogRecord) -> str:
    """Ours in full; of another's, what is written in its source, up to where it might quote."""
    if record.name.partition(".")[0] in OURS:
        return record.getMessage()
    told = record.args[0] if record.msg == "%s" and isinstance(record.args, tuple) and record.args else record.msg
    return QUOTING.split(str(told), maxsplit=1)[0].strip()


def describe(error: BaseException) -> list[str]:
    """Where it happened, the outermost call first, and what it is; then what caused it."""
    lines = [*_places(error.__traceback__), _name(error)]
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            lines += ["with:", *describe(part)]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines if cause is None else [*lines, "caused by:", *describe(cause)]


def _places(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(trace)]


def _name(error: BaseException) -> str:
    kind: Any = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    said = str(error) if kind.__module__ == "builtins" and isinstance(error, MAY_SPEAK) else ""
    if isinstance(error, OSError):
        said = error.strerror or ""  # without the name of the file
    return f"{name}: {said}" if said else name
