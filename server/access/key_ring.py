"""The keys of a running server, reloaded when the key file changes."""

import hmac
import logging

from sayline_tts.server.access.keys import Key, KeyFile, KeyFileError, KeyFileUnreadable, digest

log = logging.getLogger(__name__)


class KeyRing:
    """Keys as of now: each lookup stats the file and reads it again if it changed.

    Once a key file existed, a key stays required until the server ends. While the file cannot be read, because no
    descriptor is left for example, the keys that were read last stay valid. While it is damaged, no key is valid.
    """

    def __init__(self, file: KeyFile) -> None:
        """Raises `KeyFileError`."""
        self._file = file
        self._version: tuple[int, ...] | None = None
        self._keys: dict[str, Key] = {}
        self._found = False
        self._logged_error = ""
        self._read_changes()

    @property
    def has_key_file(self) -> bool:
        self._refresh()
        return self._found

    def find(self, presented: str) -> Key | None:
        """The key that matches `presented`. Compares all keys in constant time."""
        self._refresh()
        hashed, found = digest(presented), None
        for key in self._keys.values():
            if hmac.compare_digest(key.sha256, hashed):
                found = key
        return found

    def named(self, name: str) -> Key | None:
        self._refresh()
        return self._keys.get(name)

    def _refresh(self) -> None:
        try:
            self._read_changes()
        except KeyFileError as error:
            if str(error) != self._logged_error:
                unreadable = isinstance(error, KeyFileUnreadable)
                state = "the keys read last stay valid" if unreadable else "all keys are rejected"
                log.error("%s until the key file is repaired: %s", state, error)
            self._logged_error = str(error)

    def _read_changes(self) -> None:
        version = self._stat()
        if version is not None and version == self._version:
            return
        try:
            # Not opened if it does not exist: without a free descriptor, that would look like a file we cannot read.
            keys = None if version is None else self._file.read()
        except KeyFileUnreadable:
            self._found = True
            raise
        except KeyFileError:
            self._version, self._keys, self._found = None, {}, True
            raise
        self._found = self._found or keys is not None
        self._keys = {key.name: key for key in keys or ()}
        self._version, self._logged_error = version, ""

    def _stat(self) -> tuple[int, ...] | None:
        """What changes when the file does; None if it does not exist. Raises `KeyFileUnreadable`."""
        path = self._file.path
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise KeyFileUnreadable(f"cannot find key file {path} ({error.strerror}); check its folder") from None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
