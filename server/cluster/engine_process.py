"""`sayline engine` as a child process, with an event loop and signals of its own, as in production."""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

COMMAND = (sys.executable, "-m", "sayline_tts.server.cluster.launch")
MONITOR = re.compile(r"Metrics and health are at (\S+)\.$")
READY = re.compile(r"Sayline's engine is ready at \S+:(\d+): ")
ASK_S = 2.0


class EngineProcess:
    """Ends (SIGTERM) with the thread that has made it: what starts engines must not leave any behind."""

    def __init__(
        self, environment: Mapping[str, str], cores: Sequence[int] = (), command: Sequence[str] = COMMAND
    ) -> None:
        """`environment`: besides that of this process. `cores`: it runs on these alone; empty: on all."""
        self.port = 0  # 0: it is not ready
        self._monitor = ""
        self._draining = False
        self._process = subprocess.Popen(
            [*command, *map(str, cores)],
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="engine output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def exit_code(self) -> int | None:
        """None: it runs."""
        return self._process.poll()

    def health(self) -> dict[str, Any] | None:
        """What it says of its load; None if it says nothing."""
        if not self.port:
            return None
        url = f"http://{self._monitor}/healthz"
        with suppress(OSError, ValueError), urllib.request.urlopen(url, timeout=ASK_S) as answer:
            return dict(json.load(answer))
        return None

    def drain(self) -> None:
        """Have it stop once what it speaks has moved to other engines."""
        self._draining = True
        self._process.terminate()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                print(line, end="", flush=True)
                if found := MONITOR.match(line):
                    self._monitor = found[1]
                if found := READY.match(line):
                    self.port = int(found[1])
