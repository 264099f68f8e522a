"""Log output: one line per event, as JSON or for people, with the ids of session and trace; never a user's text or key.

Sayline's own messages are written to contain neither. Other libraries may quote input, so their messages are cut before
the first variable part. Of an exception only the type and the traceback's locations are logged; its message only where
it comes from the interpreter or the operating system.
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

OWN_LOGGERS = ("sayline_tts", "sayline")
VARIABLE_PART = re.compile("[\n\"'`(<\\[{]")  # from here on, a library's message may quote input
NO_SESSION = "-"
# Errors whose message quotes no value. That of `KeyError` and `UnicodeError` does.
SAFE_ERRORS = (ArithmeticError, AssertionError, AttributeError, IndexError, MemoryError, RuntimeError, TypeError)
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "session"}

_session: contextvars.ContextVar[str] = contextvars.ContextVar("session", default=NO_SESSION)
_trace: contextvars.ContextVar[str] = contextvars.ContextVar("trace", default="")


@contextmanager
def in_session(session_id: str) -> Iterator[None]:
    """Add this session id to all lines logged in the block, and by tasks created in it."""
    token = _session.set(session_id)
    try:
        yield
    finally:
        _session.reset(token)


@contextmanager
def in_trace(trace_id: str) -> Iterator[None]:
    """Add this trace id to all lines logged in the block, and in contexts copied from it. Empty: none."""
    token = _trace.set(trace_id)
    try:
        yield
    finally:
        _trace.reset(token)


def trace_id() -> str:
    """Of the utterance that this is about; empty if it is about none."""
    return _trace.get()


def configure(format: Format, level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream`, by default standard error."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter() if format == "json" else _PrettyFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)


def set_level(level: str) -> None:
    """Change the lowest level that is logged."""
    logging.getLogger().setLevel(level.upper())


class _Formatter(logging.Formatter):
    """Collects the loggable parts of a record; subclasses lay them out."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {"trace": trace_id()} if trace_id() else {}
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        error = record.exc_info[1] if record.exc_info else None
        return self.write(record, message(record), fields, [] if error is None else describe(error))

    def write(self, record: logging.LogRecord, text: str, fields: dict[str, object], error: list[str]) -> str:
        raise NotImplementedError


class _JsonFormatter(_Formatter):
    def write(self, record: logging.LogRecord, text: str, fields: dict[str, object], error: list[str]) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "session": _session.get(),
            "logger": record.name,
            "message": text,
            **fields,
        }
        if error:
            line["error"] = error
        return json.dumps(line, ensure_ascii=False, default=str)


class _PrettyFormatter(_Formatter):
    def write(self, record: logging.LogRecord, text: str, fields: dict[str, object], error: list[str]) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        more = "".join(f" {name}={value}" for name, value in fields.items())
        line = f"{at} {record.levelname:7} {_session.get():8} {record.name}: {text}{more}"
        return "\n".join([line.replace("\n", "\\n"), *(f"    {part}" for part in error)])


def message(record: logging.LogRecord) -> str:
    """Own messages in full; a library's message template up to the first variable part."""
    if record.name.partition(".")[0] in OWN_LOGGERS:
        return record.getMessage()
    template = record.args[0] if record.msg == "%s" and isinstance(record.args, tuple) and record.args else record.msg
    return VARIABLE_PART.split(str(template), maxsplit=1)[0].strip()


def describe(error: BaseException) -> list[str]:
    """The traceback's locations, outermost call first, and the error's name; then the same for its cause."""
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
    text = str(error) if kind.__module__ == "builtins" and isinstance(error, SAFE_ERRORS) else ""
    if isinstance(error, OSError):
        text = error.strerror or ""  # without the file name
    return f"{name}: {text}" if text else name
