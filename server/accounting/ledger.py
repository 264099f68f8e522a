"""Totals of usage by API key and month, in a file that survives restarts.

The file is shared: a writer locks it, adds what has happened since it last wrote, and replaces it atomically. So the
usage of several servers on one data folder adds up, and a kill loses at most `SAVE_DELAY_S` of it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.errors import InputError
from sayline_tts.server.accounting.usage import Usage
from sayline_tts.server.file_lock import locked

log = logging.getLogger(__name__)

SAVE_DELAY_S = 10.0


class LedgerError(InputError):
    code = "bad_usage_file"


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over utterances; the fields are those of `Usage`."""

    utterances: int = 0
    taken_chars: int = 0
    billed_chars: int = 0
    generated_ms: float = 0.0
    heard_ms: float = 0.0
    queued_ms: float = 0.0
    retries: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        names = self.__struct_fields__
        return Totals(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @classmethod
    def of(cls, usage: Usage) -> "Totals":
        names = (name for name in cls.__struct_fields__ if name != "utterances")
        return cls(utterances=1, **{name: getattr(usage, name) for name in names})


class Row(msgspec.Struct, frozen=True):
    """The totals of one key in one month, such as 2026-11 (UTC)."""

    key: str
    month: str
    totals: Totals


Book = dict[tuple[str, str], Totals]  # by key and month


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    usage: tuple[Row, ...]


class UsageFile:
    """The file of totals. Methods block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Book:
        """Empty if there is no file. Raises `LedgerError`."""
        try:
            rows = msgspec.json.decode(self.path.read_bytes(), type=_Content).usage
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise LedgerError(f"cannot read {self.path} ({error.strerror}); check its owner") from None
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            message = f"{self.path} is not a valid usage file ({error}); repair it, or move it away to count anew"
            raise LedgerError(message) from None
        return {(row.key, row.month): row.totals for row in rows}

    def add(self, book: Mapping[tuple[str, str], Totals]) -> Book:
        """Add to the totals in the file and return them. Raises `LedgerError`."""
        with self._locked():
            merged = merge(self.read(), book)
            rows = tuple(Row(key, month, totals) for (key, month), totals in sorted(merged.items()))
            data = msgspec.json.format(msgspec.json.encode(_Content(1, rows)), indent=2) + b"\n"
            atomic_write(self.path, data, 0o600)
        return merged

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with locked(self.path):
                yield
        except OSError as error:
            raise LedgerError(f"cannot write {self.path} ({error.strerror}); check the data folder") from None


class Ledger:
    """Collects usage on the event loop and saves it on a thread. Without a file it counts in memory."""

    def __init__(self, file: UsageFile | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._file, self._now = file, now
        self._pending: Book = {}  # neither saved nor being saved
        self._writing: Book = {}
        self._saved: Book = {}
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Task[None] | None = None
        self._logged_error = ""
        if file is not None:
            try:
                self._saved = file.read()
            except LedgerError as error:
                self._report(error)

    def add(self, key: str, usage: Usage) -> None:
        """Count one utterance of the key with this name."""
        place = key, self._now().strftime("%Y-%m")
        self._pending[place] = self._pending.get(place, Totals()) + Totals.of(usage)
        if self._file is not None and self._timer is None and self._saving is None:
            self._timer = asyncio.get_running_loop().call_later(SAVE_DELAY_S, self._start_saving)

    def rows(self, key: str | None = None) -> list[Row]:
        """The totals of one key, or of all, by name and month."""
        book = merge(merge(self._saved, self._writing), self._pending)
        return [Row(*place, totals) for place, totals in sorted(book.items()) if key in (None, place[0])]

    async def close(self) -> None:
        """Save what is pending. Nothing may be added after this."""
        if self._timer is not None:
            self._timer.cancel()
        if self._saving is not None:
            await self._saving
        await self._save()

    def _start_saving(self) -> None:
        self._timer = None
        self._saving = asyncio.create_task(self._save(), name="save usage")
        self._saving.add_done_callback(self._on_saved)

    def _on_saved(self, task: asyncio.Task[None]) -> None:
        self._saving = None
        if self._pending and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAVE_DELAY_S, self._start_saving)

    async def _save(self) -> None:
        """Add what is pending to the file. If that fails it stays pending, and is saved with the next."""
        if self._file is None or not self._pending:
            return
        self._writing, self._pending = self._pending, {}
        try:
            self._saved = await asyncio.to_thread(self._file.add, self._writing)
            self._logged_error = ""
        except LedgerError as error:
            self._report(error)
            self._pending = merge(self._writing, self._pending)
        self._writing = {}

    def _report(self, error: LedgerError) -> None:
        if str(error) != self._logged_error:
            log.error("usage is counted in memory only until this is repaired: %s", error)
        self._logged_error = str(error)


def merge(one: Mapping[tuple[str, str], Totals], other: Mapping[tuple[str, str], Totals]) -> Book:
    merged = dict(one)
    for place, totals in other.items():
        merged[place] = merged.get(place, Totals()) + totals
    return merged
