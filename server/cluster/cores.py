"""Cores of their own for engines that share a machine, so that each measures the capacity that it will keep.

An engine holds a lock on a file for each of its cores; the operating system releases it when the process ends, however
it ends.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from sayline_tts.engine.errors import InputError

FOLDER = Path("/tmp") / f"sayline-cores-{os.getuid()}"


class CoreLocks:
    """Whole `cores`, held until `close`; none if so many are not free. Raises `InputError` for a foreign folder."""

    def __init__(self, count: int, allowed: Sequence[int], folder: Path = FOLDER) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():  # anybody may write to /tmp
            raise InputError(f"{folder} is not this user's own; remove it")
        self._files: dict[int, int] = {}
        for core in allowed:
            if len(self._files) == count:
                break
            self._try(core, folder)
        if len(self._files) < count:
            self.close()

    @property
    def cores(self) -> tuple[int, ...]:
        return tuple(self._files)

    def close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _try(self, core: int, folder: Path) -> None:
        file = os.open(folder / str(core), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            self._files[core] = file
