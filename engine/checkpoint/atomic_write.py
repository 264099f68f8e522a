"""Atomic file replacement: readers see the old content or the new content, never a part of it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_file(path: Path, mode: int = 0o644, owner: tuple[int, int] | None = None) -> Iterator[IO[bytes]]:
    """A binary file to write to, which replaces `path` when the block ends without an exception.

    It is a temporary file in the same folder; it is synced to disk, then renamed. If the process is killed, `path` has
    its old or its new content, and a `.part` file may remain. The sync before the rename means that a power failure
    cannot leave an empty file. `owner`: user and group of the new file; only root can set it. Raises `OSError`.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        try:
            yield part
            part.flush()
            os.fsync(part.fileno())
            part.close()
            if owner is not None:
                os.chown(part.name, *owner)
            os.chmod(part.name, mode)  # temporary files are created with mode 0600
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise


def atomic_write(path: Path, data: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Replace the content of `path` atomically. Raises `OSError`."""
    with atomic_file(path, mode, owner) as file:
        file.write(data)
