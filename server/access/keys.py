"""API keys: made, hashed, kept in a file. Knows no HTTP.

A key is 256 random bits, so the file needs no slow hash: those are against guessing what people choose, and nobody
guesses this. One SHA-256 for each request is enough, and cannot be used to keep the server busy.
"""

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sayline_tts.engine.checkpoint.atomic_write import write_whole
from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.limits import ANONYMOUS, Caller, Limits

PREFIX = "say_"  # so that programs which look for lost secrets can find one
SECRET_BYTES = 32
MAX_FILE_BYTES = 1024 * 1024
NAME = r"\A[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z"
SINGLE_KEY = "api_key"  # what logs and metrics call the holder of SAYLINE_API_KEY
TAKEN_NAMES = (ANONYMOUS, SINGLE_KEY)


class KeyFileError(InputError):
    code = "bad_key_file"


class KeyNameError(InputError):
    code = "bad_key_name"


class KeyRevoked(InputError):
    code = "key_revoked"


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(pattern=NAME)]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    created: str
    limits: Limits

    @property
    def caller(self) -> Caller:
        return Caller(self.name, self.limits, account=self.name, sha256=self.sha256)


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    keys: tuple[Key, ...]


def digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


class KeyFile:
    """Whoever reads it finds a whole file, the old or the new one, whatever happens to who writes it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()  # behind links, or a rename would replace the link

    def read(self) -> tuple[Key, ...] | None:
        """None where there is no file. Raises `KeyFileError`."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyFileError(f"cannot read the keys in {self.path} ({error.strerror}); see to whose it is") from None
        if len(data) > MAX_FILE_BYTES:
            raise KeyFileError(f"{self.path} has more than {MAX_FILE_BYTES} bytes; it is no file of keys")
        try:
            keys = msgspec.json.decode(data, type=_Content).keys
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            told = f"{self.path} is no file of keys ({error}); mend it, or move it away and make new keys"
            raise KeyFileError(told) from None
        if len({key.name for key in keys}) < len(keys):
            raise KeyFileError(f"{self.path} has two keys of one name; give each a name of its own")
        return keys

    def add(self, name: str, limits: Limits) -> str:
        """The new key, which is nowhere else. Raises `KeyNameError`, `KeyFileError`."""
        if not re.search(NAME, name) or name in TAKEN_NAMES:
            raise KeyNameError(
                f"{name[:100]!r} cannot be a key's name; take 1 to 64 of letters, digits and . _ @ -, "
                f"a letter or digit first, and not {' or '.join(TAKEN_NAMES)}"
            )
        with self._locked():
            keys = self.read() or ()
            if any(key.name == name for key in keys):
                raise KeyNameError(f"there is a key {name} already; choose another name, or revoke that one first")
            secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._write((*keys, Key(name, digest(secret), now, limits)))
        return secret

    def revoke(self, name: str) -> None:
        """Raises `KeyNameError`, `KeyFileError`."""
        with self._locked():
            keys = self.read() or ()
            left = tuple(key for key in keys if key.name != name)
            if len(left) == len(keys):
                raise KeyNameError(f"there is no key {name[:100]!r}; `sayline keys list` shows all")
            self._write(left)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two that write at once would bring back what one of them has revoked."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = self.path.with_name(f"{self.path.name}.lock")
            lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                if owner := self._owner:
                    os.fchown(lock, *owner)
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            told = f"cannot write {self.path} ({error.strerror}); do this as the user whom the server runs as"
            raise KeyFileError(told) from None

    def _write(self, keys: tuple[Key, ...]) -> None:
        data = msgspec.json.format(msgspec.json.encode(_Content(1, keys)), indent=2) + b"\n"
        write_whole(self.path, data, 0o600, self._owner)

    @property
    def _owner(self) -> tuple[int, int] | None:
        """Whom root makes keys for: the server need not be root, and must be able to read them."""
        if os.geteuid() != 0:
            return None
        looks = (self.path if self.path.exists() else self.path.parent).stat()
        return looks.st_uid, looks.st_gid
