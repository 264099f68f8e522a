"""Create, hash, store and revoke API keys.

A key has 256 random bits, so a plain SHA-256 is enough. A slow password hash protects guessable secrets, and would let
requests with wrong keys keep the server busy.
"""

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

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.limits import ANONYMOUS, Caller, Limits
from sayline_tts.server.file_lock import locked

PREFIX = "say_"  # lets secret scanners recognize a leaked key
SECRET_BYTES = 32
MAX_FILE_BYTES = 1024 * 1024
NAME = r"\A[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z"
SINGLE_KEY = "api_key"  # what logs and metrics call the holder of SAYLINE_API_KEY
RESERVED_NAMES = (ANONYMOUS, SINGLE_KEY)


class KeyFileError(InputError):
    code = "bad_key_file"


class KeyFileUnreadable(KeyFileError):
    """The file cannot be read at this moment, whatever it holds."""


class KeyNameError(InputError):
    code = "bad_key_name"


class KeyRevoked(InputError):
    code = "key_revoked"


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: Annotated[str, Meta(pattern=NAME)]
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    created: str
    limits: Limits
    operator: bool = False  # may see what concerns all keys

    @property
    def caller(self) -> Caller:
        return Caller(self.name, self.limits, account=self.name, sha256=self.sha256, operator=self.operator)


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    keys: tuple[Key, ...]


def digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


class KeyFile:
    """The key file. Writes are atomic, so readers see either the old content or the new."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()  # resolved, because a rename would replace a symbolic link

    def read(self) -> tuple[Key, ...] | None:
        """The stored keys; None if the file does not exist. Raises `KeyFileError`, `KeyFileUnreadable`."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyFileUnreadable(f"cannot read key file {self.path} ({error.strerror}); check its owner") from None
        if len(data) > MAX_FILE_BYTES:
            raise KeyFileError(f"{self.path} is larger than {MAX_FILE_BYTES} bytes; check --keys-file")
        try:
            keys = msgspec.json.decode(data, type=_Content).keys
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            message = f"{self.path} is not a valid key file ({error}); repair it, or move it away and create new keys"
            raise KeyFileError(message) from None
        if len({key.name for key in keys}) < len(keys):
            raise KeyFileError(f"{self.path} has two keys of the same name; rename one of them")
        return keys

    def add(self, name: str, limits: Limits, operator: bool = False) -> str:
        """Create a key, store its hash, and return the key itself. Raises `KeyNameError`, `KeyFileError`."""
        if not re.search(NAME, name) or name in RESERVED_NAMES:
            raise KeyNameError(
                f"invalid key name {name[:100]!r}; use 1 to 64 letters, digits, and . _ @ -, starting with a letter or "
                f"digit, other than {' and '.join(RESERVED_NAMES)}"
            )
        with self._locked():
            keys = self.read() or ()
            if any(key.name == name for key in keys):
                raise KeyNameError(f"key {name} already exists; choose another name, or revoke it first")
            secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._write((*keys, Key(name, digest(secret), now, limits, operator)))
        return secret

    def revoke(self, name: str) -> None:
        """Delete the key. Raises `KeyNameError`, `KeyFileError`."""
        with self._locked():
            keys = self.read() or ()
            remaining = tuple(key for key in keys if key.name != name)
            if len(remaining) == len(keys):
                raise KeyNameError(f"no key named {name[:100]!r}; run `sayline keys list` to see all keys")
            self._write(remaining)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock out other writers: with two at once, one could restore a key that the other revoked."""
        try:
            with locked(self.path, self._owner):
                yield
        except OSError as error:
            message = f"cannot write {self.path} ({error.strerror}); run this as the user that the server runs as"
            raise KeyFileError(message) from None

    def _write(self, keys: tuple[Key, ...]) -> None:
        data = msgspec.json.format(msgspec.json.encode(_Content(1, keys)), indent=2) + b"\n"
        atomic_write(self.path, data, 0o600, self._owner())

    def _owner(self) -> tuple[int, int] | None:
        """User and group for files that root writes: the server may run as another user and must read them."""
        if os.geteuid() != 0:
            return None
        stat = (self.path if self.path.exists() else self.path.parent).stat()
        return stat.st_uid, stat.st_gid
