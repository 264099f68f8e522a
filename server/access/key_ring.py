"""The keys of a running server, looked up as they are now. Knows no HTTP."""

import hmac
import logging

from sayline_tts.server.access.keys import Key, KeyFile, KeyFileError, digest

log = logging.getLogger(__name__)


class KeyRing:
    """The keys as of now: the file is looked at for each request, and read again when it has changed.

    Once there was a file, keys are asked for until the server ends. What cannot be read lets nobody in.
    """

    def __init__(self, file: KeyFile) -> None:
        """Raises `KeyFileError`."""
        self._file = file
        self._seen: tuple[int, ...] | None = None
        self._keys: dict[str, Key] = {}
        self._found = False
        self._complaint = ""
        self._read_changes()

    @property
    def found_file(self) -> bool:
        self._refresh()
        return self._found

    def find(self, given: str) -> Key | None:
        """The key that was given. A wrong one takes the same time, however much of it is right."""
        self._refresh()
        hashed, found = digest(given), None
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
            if str(error) != self._complaint:
                log.error("no key is good until this is mended: %s", error)
            self._complaint = str(error)

    def _read_changes(self) -> None:
        try:
            looks = self._file.path.stat()
        except OSError:
            seen = None  # reading it will tell why
        else:
            seen = (looks.st_ino, looks.st_size, looks.st_mtime_ns, looks.st_ctime_ns)
        if seen is not None and seen == self._seen:
            return
        self._seen, self._keys = None, {}
        try:
            keys = self._file.read()
        except KeyFileError:
            self._found = True
            raise
        self._found = self._found or keys is not None
        self._keys = {key.name: key for key in keys or ()}
        self._seen, self._complaint = seen, ""
