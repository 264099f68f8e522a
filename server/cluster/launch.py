"""Turn this process into `sayline engine`: `python -m sayline_tts.server.cluster.launch [CORE ...]`.

It gets SIGTERM when the thread that started it ends, runs on these cores alone, and has the usual priority again, where
that is allowed: Ray's processes have a low one. All this is done here and not between fork and exec, where in a process
with threads, such as one of Ray's, hardly anything is safe.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PROGRAM = "from sayline.cli import main; main()"


def launch(*cores: str) -> None:
    """Does not return."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if cores:
            os.sched_setaffinity(0, [int(core) for core in cores])
    if os.getpriority(os.PRIO_PROCESS, 0) > 0:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0)
    os.execv(sys.executable, [sys.executable, "-c", PROGRAM, "engine"])


if __name__ == "__main__":
    launch(*sys.argv[1:])
