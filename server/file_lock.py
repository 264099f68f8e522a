"""A lock between processes that write the same file."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, owner: Callable[[], tuple[int, int] | None] = lambda: None) -> Iterator[None]:
    """Lock out other writers of `path` while the block runs, by a `.lock` file beside it; creates the folder.

    `owner`: called once the folder exists, returns user and group of the lock file, which only root can set. Blocks.
    Raises `OSError`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if ids := owner():
            os.fchown(lock, *ids)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
