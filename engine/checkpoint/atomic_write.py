"""A file that is whole at every moment: the old one until the new one is there."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Through a temporary file and a rename. A kill leaves the old file or the new one, and perhaps a `.part` too.

    `owner`: the user and group whom the new one belongs to; only root can give a file away.

    The new one has reached the disk before it takes the name, so losing power leaves no empty file either.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        try:
            part.write(data)
            part.flush()
            os.fsync(part.fileno())
            part.close()
            if owner is not None:
                os.chown(part.name, *owner)
            os.chmod(part.name, mode)  # not private like a temporary one, unless that is asked for
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise
