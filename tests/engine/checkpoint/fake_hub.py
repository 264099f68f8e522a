"""A fake Hugging Face hub, and a process that sends requests to it.

The hub library reads `HF_ENDPOINT`, `HF_HOME` and `HF_HUB_OFFLINE` when it is imported, so the tested code runs in a
separate process (`python -m tests.engine.checkpoint.fake_hub`): one JSON call per line in, one result per line out.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[3]
COMMIT = "c" * 40


class FakeHub:
    """Serve `files` by URL path; a repository's file is at `/owner/repo/path`, whatever the revision.

    `mode` may change at any time: `ok`, `unresponsive` (accepts requests, never answers), `truncated` (sends half of
    each body), `failing` (status 500). Repositories in `gated` are refused with `refusal`: a status and an error code.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.mode = "ok"
        self.gated: set[str] = set()
        self.refusal = (401, "GatedRepo")
        self.requests: list[str] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def reset(self) -> None:
        self.files.clear()
        self.gated.clear()
        self.requests.clear()
        self.mode, self.refusal = "ok", (401, "GatedRepo")

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        """Log nothing: the tests read `hub.requests`."""

    def _answer(self, with_body: bool) -> None:
        hub = self.hub
        before, _, after = self.path.partition("/resolve/")
        revision, _, name = after.partition("/")
        hub.requests.append(f"{self.command} {before}/{name}" if after else f"{self.command} {self.path}")
        data = hub.files.get(f"{before}/{name}" if after else self.path)
        if hub.mode == "unresponsive":
            hub.closing.wait()
        elif hub.mode == "failing":
            self._refuse(500)
        elif before.removeprefix("/") in hub.gated:
            self._refuse(*hub.refusal)
        elif data is None:
            self._refuse(404, "EntryNotFound")
        else:
            self._serve(data, revision if len(revision) == 40 else COMMIT, with_body)

    def _refuse(self, status: int, code: str = "") -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _serve(self, data: bytes, commit: str, with_body: bool) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body:
            self.wfile.write(data[: len(data) // 2] if self.hub.mode == "truncated" else data)


class HubProcess:
    """A process that calls `find_checkpoint` and `fetch` against a hub."""

    def __init__(self, endpoint: str, home: Path, offline: bool = False) -> None:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "XDG_"))}
        env |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.checkpoint.fake_hub"],
            cwd=ROOT,
            env=env | {"no_proxy": "127.0.0.1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def call(self, call: str, *args: object) -> dict[str, Any]:
        """The result of a call: a checkpoint's fields, {"path"}, or {"error", "text"}."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([call, *args]) + "\n")
        self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    hub = FakeHub()
    try:
        yield hub
    finally:
        hub.close()


def _serve_calls() -> None:
    from sayline_tts.engine.checkpoint import checkpoint, resource
    from sayline_tts.engine.errors import InputError

    checkpoint.HUB_TIMEOUT_S = 60.0  # a busy machine must not look like an unresponsive hub
    time.sleep = lambda _: None  # the hub library sleeps between retries
    for line in sys.stdin:
        call, *args = json.loads(line)
        try:
            if call == "set timeout":
                (checkpoint.HUB_TIMEOUT_S,) = args
                print("{}", flush=True)
            elif call == "find":
                found = checkpoint.find_checkpoint(*args)
                result = {key: str(getattr(found, key)) for key in ("name", "weights", "tokenizer", "reason")}
                print(json.dumps(result | {"can_clone": found.can_clone}), flush=True)
            else:
                print(json.dumps({"path": str(resource.fetch(*args))}), flush=True)
        except InputError as error:
            print(json.dumps({"error": type(error).__name__, "text": str(error)}), flush=True)


if __name__ == "__main__":
    _serve_calls()
