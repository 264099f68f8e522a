"""Tell a front which engines a Ray cluster has: `python -m sayline_tts.server.cluster.watch ray://[HOST:PORT]`.

A process of its own, so that a front has none of Ray's threads, and loses nothing if Ray fails. It prints a JSON list
of `[host, port]` at first and after each change, and ends when its standard input does.
"""

import json
import sys
import threading
from collections.abc import Callable
from typing import Any

from sayline_tts.server.cluster.ray_cluster import ClusterError, ask, connect, require_registry

ASK_S = 1.0


def watch(ray: Any, tell: Callable[[list[tuple[str, int]]], None], pause: Callable[[float], bool]) -> None:
    """Until `pause`, which waits for so long, returns that it is over. Raises `ClusterError`."""
    told: list[tuple[str, int]] | None = None
    while True:
        engines = ask(ray, require_registry(ray).engines.remote())
        if engines != told:
            told = engines
            tell(engines)
        if pause(ASK_S):
            return


def main(address: str) -> None:
    over = threading.Event()

    def read() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        watch(connect(address), lambda engines: print(json.dumps(engines), flush=True), over.wait)
    except ClusterError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1])
