"""A stranger's first five minutes: what the READMEs print is run as printed, from a copy of the tracked files.

The environment is empty: no Python package, no compiled kernel, no variable of ours. It needs PyPI and npm.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agents.embedded_server import free_port

ROOT = Path(__file__).parents[1]
PROGRAMS = ("curl", "git", "make", "node", "npm")
INDEX = "https://pypi.org/simple/pip/"
START_S = 1200  # downloads some hundreds of MB, and compiles the kernels
RUN_S = 600
OURS = re.compile(
    r"SAYLINE|PYTHON|VIRTUAL_ENV|COVERAGE|HF_|NUMBA|XDG_|MAKE|MFLAGS|ARGS"
)  # also options of a `make` that runs the tests
FRAME = re.compile(r"(\d+)(?:\.0)? (\d+)")  # when it starts in ms, and its length


def missing() -> str:
    """Why the test cannot run here; empty if it can."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if subprocess.run(["git", "rev-parse"], cwd=ROOT, capture_output=True, check=False).returncode:
        return "this is no git checkout"
    try:
        with urllib.request.urlopen(INDEX, timeout=10):
            return ""
    except OSError as error:
        return f"the package index cannot be reached: {error}"


def printed(readme: str, pattern: str) -> str:
    """The only place of a README that matches."""
    text = (ROOT / readme).read_text("utf-8")
    found: list[str] = re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    [only] = found
    return only


def block(readme: str, language: str, word: str) -> str:
    """The only program of a README in this language that holds `word`."""
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / readme).read_text("utf-8"), re.DOTALL)
    [only] = [code for code in found if word in code]
    return str(only)


class Newcomer:
    """Has a checkout and a shell."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self._log, self._port = folder / "sayline", folder / "log", free_port()
        self.checkout.mkdir()
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, files.decode().split("\0")):
            if (ROOT / name).exists():  # not deleted
                (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.checkout / name, follow_symlinks=False)
        places = [Path(sys._base_executable), *(Path(shutil.which(name) or "") for name in PROGRAMS)]  # type: ignore[attr-defined]
        path = dict.fromkeys([*(str(place.parent) for place in places), *os.defpath.split(":"), "/bin", "/usr/bin"])
        self._environment = {name: value for name, value in os.environ.items() if not OURS.match(name)} | {
            "HOME": str(folder),
            "PATH": ":".join(path),
            "HF_HUB_OFFLINE": "1",  # the embedded voice, and no download of 440 MB
            "SAYLINE_PORT": str(self._port),
            "SAYLINE_URL": f"ws://127.0.0.1:{self._port}",
        }

    def addressed(self, code: str) -> str:
        """`code` for the port of this server, which is not the usual one."""
        return code.replace("127.0.0.1:8000", f"127.0.0.1:{self._port}")

    def run(self, command: str, text: str = "") -> str:
        """The output of a shell command in the checkout. `text`: its input."""
        command, text = self.addressed(command), self.addressed(text)
        done = subprocess.run(
            ["sh", "-e", "-c", command], input=text, cwd=self.checkout, env=self._environment, timeout=RUN_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    @contextmanager
    def serving(self, command: str) -> Iterator[None]:
        """Run a command that serves until it is interrupted."""
        with self._log.open("wb") as log:
            server = subprocess.Popen(
                ["sh", "-e", "-c", f"exec {command}"], cwd=self.checkout, env=self._environment, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            end_s = time.monotonic() + START_S
            while f"Sayline is ready at http://127.0.0.1:{self._port}" not in self._log.read_text():
                if server.poll() is not None or time.monotonic() > end_s:
                    pytest.fail(self._log.read_text())
                time.sleep(0.2)
            yield
        finally:
            os.killpg(server.pid, 15)
            server.wait(60)


@pytest.mark.slow
def test_newcomer_s_first_five_minutes(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    newcomer = Newcomer(tmp_path)
    start = printed("README.md", r"^(make run) +#")
    with newcomer.serving(start):
        in_the_shell = printed("README.md", r"^\$ (printf [^\n]*)$")
        activate = printed("README.md", r"in another terminal \(`(\. [^`]*)`")
        assert "s of speech, first audio after" in newcomer.run(f"{activate}\n{in_the_shell}")
        assert seconds(newcomer.checkout / "out.wav") > 0.4

        # Programs of a project of its own, which has neither the server nor torch.
        project = "python3 -m venv ../project\n. ../project/bin/activate\n"
        install = printed("clients/python/README.md", r"From a checkout: `(pip install [^`]*)`;")
        newcomer.run(project + install)
        expect_frames(newcomer.run(f"{project}python -", block("README.md", "python", "import sayline\n")))
        newcomer.run(project + block("README.md", "sh", "openai"))
        newcomer.run(f"{project}python -", block("README.md", "python", "from openai"))
        assert (newcomer.checkout / "hello.mp3").stat().st_size > 4_000

        newcomer.run(printed("clients/js/README.md", r"From a checkout: `(npm install [^`]*)`"))
        code = newcomer.addressed(block("clients/js/README.md", "js", "import { connect }"))
        (newcomer.checkout / "hello.mjs").write_text(code)
        node = printed("clients/js/README.md", r"before 22: `(node [^`]*)`")
        expect_frames(newcomer.run(f"{node} --no-warnings hello.mjs"))

        text = "This is a recording of my own voice, in which I speak for a while, and nobody else does."
        newcomer.run(f"{activate}\nprintf '{text} {text}' | sayline pipe --voice ross -o me.wav")
        cloning = block("README.md", "sh", "consent=true")
        assert '"kind":"cloned"' in newcomer.run(f"{activate}\n{cloning}").replace(" ", "")
        assert seconds(newcomer.checkout / "hello-from-me.wav") > 0.4


def expect_frames(output: str) -> None:
    """A line for each frame of 80 ms, one after the other."""
    frames = [FRAME.fullmatch(line) for line in output.splitlines()]
    assert len(frames) > 10, output
    assert [int(frame[1]) for frame in frames if frame] == [80 * number for number in range(len(frames))], output


def seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        return float(file.getnframes() / file.getframerate())
