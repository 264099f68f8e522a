"""File descriptors of this process: its limit, raised where that is allowed, and what is left of it."""

import errno
import logging
import os
import resource
from pathlib import Path

log = logging.getLogger(__name__)

WANTED = 65_536
RESERVED = 64  # for what is not a connection: voice files, keys, downloads, codec processes that are replaced
# The process, the machine or the kernel's memory has no room for another descriptor.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_OPEN = (Path("/proc/self/fd"), Path("/dev/fd"))


def limit() -> int:
    """How many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Raise the limit to `WANTED`, or as far as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if limit() >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:  # macOS refuses more than its kernel allows, whatever the hard limit says
        log.warning("cannot raise the limit of file descriptors from %d to %d (%s)", soft, wanted, error)


def free_for_connections(limit: int) -> int:
    """How many connections fit within `limit` besides the descriptors that are open now; at least 1."""
    folder = next(filter(Path.is_dir, _OPEN))
    return max(1, limit - len(os.listdir(folder)) - RESERVED)


def any_left() -> bool:
    """Whether a descriptor can be opened at this moment."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return False
    return True
