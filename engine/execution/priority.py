"""How a thread makes way for others. The operating system does the balancing."""

import os
import sys
import threading


def step_aside(niceness: int) -> None:
    """From now on this thread yields to those that are less nice: 0 is an ordinary one, 19 the nicest."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
