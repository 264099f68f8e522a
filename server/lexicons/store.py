"""Storage of lexicons: a folder with a JSON file for each, written by this server and by `sayline lexicon`.

A lexicon belongs to the key that made it, or to nobody, and then it is everybody's. The file's name is a digest of
owner and name, so that neither has to be a file's name.
"""

import asyncio
import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.text.lexicon import Entry, Lexicon, LexiconError, merged
from sayline_tts.server.access.limits import ANONYMOUS
from sayline_tts.server.file_lock import locked

log = logging.getLogger(__name__)

DEFAULT = "default"  # used by requests that name no lexicons
SUFFIX = ".json"
ID = re.compile(r"l-[0-9a-f]{16}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_LEXICONS = 8  # of one text
MAX_FILE_BYTES = 8 * 1024 * 1024
SETTLED_S = 1.0  # a folder that changed less long ago may change again without another time stamp


class LexiconNameError(InputError):
    code = "bad_lexicon_name"


class UnknownLexicon(InputError):
    code = "unknown_lexicon"


class LexiconQuota(InputError):
    code = "lexicon_quota"


class LexiconStoreError(InputError):
    """The folder cannot be written. Only the log has the details, because they include paths."""

    code = "lexicons_not_kept"


class StoredLexicon(msgspec.Struct, frozen=True):
    """`owner` is the name of a key, or `ANONYMOUS`."""

    name: str
    owner: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class _Loaded:
    version: tuple[int, ...]  # of the file
    stored: StoredLexicon
    lexicon: Lexicon


def check_lexicon_name(name: str) -> str:
    """Raises `LexiconNameError`."""
    if not NAME.fullmatch(name):
        message = f"invalid lexicon name {name[:100]!r}; use 1 to 64 letters, digits, and . _ -"
        raise LexiconNameError(f"{message}, starting with a letter or digit")
    return name


def file_name(name: str, owner: str) -> str:
    digest = hashlib.sha256(f"{owner}\0{name}".encode()).hexdigest()[:16]
    return f"l-{digest}{SUFFIX}"


class LexiconStore:
    """Files that others write are noticed at the next lookup. Methods are thread-safe, and all but `find` block."""

    def __init__(self, folder: Path = Path("/nonexistent")) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._version: tuple[int, ...] | None = (-1,)  # of the folder; None: read it at the next lookup
        self._loaded: dict[str, _Loaded] = {}  # by file name; replaced, never mutated
        self.refresh()

    # Lookup

    async def find(self, names: Sequence[str] | None, owner: str) -> tuple[Lexicon, ...]:
        """Return the lexicons of these names, the owner's before everybody's. None: those named `DEFAULT`, if any.

        Raises `UnknownLexicon`.
        """
        if self._is_stale:
            await asyncio.to_thread(self.refresh)
        found: list[Lexicon] = []
        for name in (DEFAULT,) if names is None else dict.fromkeys(names):
            named = [self._loaded.get(file_name(name, each)) for each in dict.fromkeys((owner, ANONYMOUS))]
            if names is not None and not any(named):
                raise UnknownLexicon(f"no lexicon {name[:100]!r}; GET /v1/lexicons lists those of this key")
            found += [each.lexicon for each in named if each]
        return tuple(found)

    def visible(self, owner: str) -> list[StoredLexicon]:
        """Lexicons that `owner` may use, by name: its own, and everybody's."""
        self.refresh()
        stored = [each.stored for each in self._loaded.values() if each.stored.owner in (owner, ANONYMOUS)]
        return sorted(stored, key=lambda each: (each.name, each.owner == ANONYMOUS))

    def all(self) -> list[StoredLexicon]:
        self.refresh()
        return sorted((each.stored for each in self._loaded.values()), key=lambda each: (each.owner, each.name))

    def get(self, name: str, owner: str) -> StoredLexicon | None:
        """The lexicon of this owner."""
        self.refresh()
        loaded = self._loaded.get(file_name(name, owner))
        return loaded.stored if loaded else None

    # Changes

    def put(self, name: str, owner: str, entries: Iterable[Entry], max_entries: int | None = None) -> StoredLexicon:
        """Store a lexicon, and replace the one of the same name and owner.

        `max_entries`: of all lexicons of the owner. Raises `LexiconNameError`, `LexiconError`, `LexiconQuota`,
        `LexiconStoreError`.
        """
        stored = StoredLexicon(check_lexicon_name(name), owner, merged(entries))
        with self._writing():
            others = sum(len(each.entries) for each in self.all() if each.owner == owner and each.name != name)
            if max_entries is not None and others + len(stored.entries) > max_entries:
                message = f"the lexicons of this key may have {max_entries} entries together, and have {others} without"
                raise LexiconQuota(f"{message} this one; shorten it, or delete another one")
            self._write(stored)
        return stored

    def add(self, name: str, owner: str, entries: Iterable[Entry]) -> StoredLexicon:
        """Add entries to a lexicon, which need not exist. Raises as `put`."""
        check_lexicon_name(name)
        with self._writing():
            before = self.get(name, owner)
            stored = StoredLexicon(name, owner, merged((*(before.entries if before else ()), *entries)))
            self._write(stored)
        return stored

    def delete(self, name: str, owner: str) -> None:
        """Delete a lexicon; deleting it again is harmless. Raises `LexiconStoreError`."""
        with self._writing():
            (self._folder / file_name(name, owner)).unlink(missing_ok=True)

    def _write(self, stored: StoredLexicon) -> None:
        data = msgspec.json.format(msgspec.json.encode(stored), indent=1)
        atomic_write(self._folder / file_name(stored.name, stored.owner), data, 0o600, self._file_owner())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Lock out other writers, of other processes too. Raises `LexiconStoreError`."""
        try:
            with self._lock, locked(self._folder / "lexicons", self._file_owner):
                yield
                self._version = None
                self.refresh()
        except OSError as error:
            log.exception("cannot write the lexicon folder %s", self._folder)
            message = "the lexicons cannot be written; check the owner of their folder, and the free space"
            raise LexiconStoreError(message) from error

    def _file_owner(self) -> tuple[int, int] | None:
        """User and group for what root writes: the server may run as another user and must read it."""
        if os.geteuid() != 0:
            return None
        stat = self._folder.parent.stat()
        os.chown(self._folder, stat.st_uid, stat.st_gid)
        return stat.st_uid, stat.st_gid

    # Reading

    @property
    def _is_stale(self) -> bool:
        return self._version is None or self._version != _version(self._folder)

    def refresh(self) -> None:
        """Read the files that have changed. A damaged one is logged and ignored."""
        with self._lock:
            if not self._is_stale:
                return
            version = _version(self._folder)
            names = sorted(path.name for path in self._folder.glob(f"l-*{SUFFIX}")) if version else []
            loaded = {name: each for name in names if (each := self._load(name))}
            self._loaded = loaded
            settled = version is None or time.time() - version[-1] / 1e9 > SETTLED_S
            self._version = version if settled else None

    def _load(self, name: str) -> _Loaded | None:
        path = self._folder / name
        version, before = _version(path), self._loaded.get(name)
        if before and before.version == version:
            return before
        stored = read_lexicon(path)
        return _Loaded(version, stored, Lexicon(stored.entries)) if version and stored else None


def read_lexicon(path: Path) -> StoredLexicon | None:
    """Read a file of the store; None if it is damaged, which is logged."""
    try:
        with path.open("rb") as file:
            stored = msgspec.json.decode(file.read(MAX_FILE_BYTES), type=StoredLexicon)
        merged(stored.entries)
    except (OSError, msgspec.MsgspecError, ValueError, LexiconError) as error:
        log.warning("%s is not a valid lexicon (%s); ignoring it", path, error)
        return None
    return stored if path.name == file_name(stored.name, stored.owner) else None


def _version(path: Path) -> tuple[int, ...] | None:
    """What changes when a file or folder does, its time of change last; None if it does not exist."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
