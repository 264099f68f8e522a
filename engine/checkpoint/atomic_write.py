"""Atomic file replacement: readers see the old content or the new content, never a part of it."""

import os
import tempfile
from pathlib import Path


def atomic_write(path: Path, data: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Write to a temporary file, sync it to disk, then rename it to `path`.

    `owner`: user and group of the new file; only root can set it. If the process is killed, `path` has its old or its
    new content, and a `.part` file may remain. The sync before the rename means that a power failure cannot leave an
    empty file. Raises `OSError`.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        try:
            part.write(data)
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
