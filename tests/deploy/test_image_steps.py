"""The image's own steps, run without a container engine: each stage is a Debian tree, which stands for its base image.

Only on request, because it takes minutes and needs root, Debian's debootstrap and the network: `SAYLINE_IMAGE=FOLDER`,
where the tree of the base image is kept for the next time.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.agents.embedded_server import free_port
from tests.deploy.test_image import COMPOSE, ROOT, instructions

BASE = re.compile(r"python:(\d+\.\d+)-slim-(\w+)(?: AS (\w+))?")
PACKAGES = "python3,python3-venv,ca-certificates"  # what the base image has
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHARED_MEMORY = "64m"  # a container's, unless it asks for more
BUILD_S, START_S = 1800, 600
MOUNT_BUILD = """
for each in $(cat); do mkdir -p "$(dirname "$0$each")"; [ -d "$each" ] && mkdir -p "$0$each" || touch "$0$each"
mount --bind "$each" "$0$each"; done
mount -t proc proc "$0/proc"
exec chroot "$0" "$@"
"""
# As the compose file says: nothing can be written but the volume and /tmp, no capabilities, no new privileges.
MOUNT_RUN = """
mount --bind "$0" "$0"
mount -o remount,bind,ro "$0"
mount -t proc proc "$0/proc"
for each in $VOLUMES; do mount -t tmpfs -o "uid=${OWNER%:*},gid=${OWNER#*:}" volume "$0$each"; done
mount -t tmpfs -o mode=1777 temporary "$0/tmp"
mount -t tmpfs -o "mode=1777,size=$SHARED_MEMORY" shm "$0/dev/shm"
exec chroot "$0" setpriv --reuid "${OWNER%:*}" --regid "${OWNER#*:}" --clear-groups --no-new-privs \\
    --bounding-set=-all "$@"
"""


def missing() -> str:
    """Why the test cannot run here; empty if it can."""
    if not os.environ.get("SAYLINE_IMAGE"):
        return "takes minutes; set SAYLINE_IMAGE to a folder for Debian's tree to run it"
    if os.geteuid() != 0:
        return "needs root"
    for program in ("debootstrap", "unshare", "git"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return ""


def ignored(path: Path) -> bool:
    patterns = [
        line
        for line in (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    return any(
        any(fnmatch(part, pattern.removeprefix("**/")) for part in path.parts)
        if pattern.startswith("**/")
        else fnmatch(path.parts[0], pattern)
        for pattern in patterns
    )


def pip_settings() -> tuple[dict[str, str], list[str]]:
    """Those of this machine as variables, and the local paths that they name. An index's files may lie beside it."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = dict(re.findall(r"^(?:global\.|:env:\.)([\w-]+)='(.*)'$", listed.stdout, re.MULTILINE))
    words = " ".join(settings.values()).replace("file://", "").split()
    variables = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()}
    paths = [Path(word).resolve() for word in words if word.startswith("/") and Path(word).exists()]
    return variables, sorted({str(path.parent if path.name == "simple" else path) for path in paths})


class Image:
    """The stages of the Dockerfile, and what it says of the container."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stages = folder, dict[str, Path]()
        self.tree = self._directory = folder
        self.environment: dict[str, str] = {"PATH": PATH}
        self.user, self.entry, self.volumes = "0:0", list[str](), list[str]()
        self._pip, self._shared = pip_settings()

    def build(self) -> None:
        for word, rest in instructions():
            match word:
                case "FROM":
                    self._begin(rest)
                case "RUN":
                    self._run(rest)
                case "WORKDIR":
                    self._directory = Path(rest)
                    self._inside(rest).mkdir(exist_ok=True)
                case "COPY":
                    self._copy(*rest.split())
                case "ENV":
                    self.environment |= dict(pair.split("=", 1) for pair in rest.split())
                case "USER":
                    self.user = rest
                case "VOLUME":
                    self.volumes.append(rest)
                case "ENTRYPOINT":
                    self.entry = json.loads(rest)
                case _:
                    assert word in ("ARG", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL")

    def _inside(self, path: str) -> Path:
        return self.tree / str(self._directory / path).lstrip("/")

    def _begin(self, base: str) -> None:
        match = BASE.fullmatch(base)
        assert match
        version, suite, name = match.groups()
        self.tree, self._directory = self._folder / (name or "final"), Path("/")
        self._stages[self.tree.name] = self.tree
        pristine = Path(os.environ["SAYLINE_IMAGE"]).resolve() / suite
        if not (pristine / "usr/bin/python3").exists():
            command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(pristine)]
            subprocess.run(command, check=True, timeout=BUILD_S, stdout=subprocess.DEVNULL)
        subprocess.run(["cp", "-a", str(pristine), str(self.tree)], check=True)
        assert version in os.readlink(self.tree / "usr" / "bin" / "python3")

    def _run(self, command: str) -> None:
        inner = ["sh", "-e", "-c", f"cd {self._directory} && {command}"]
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "sh", "-e", "-c", MOUNT_BUILD, str(self.tree), *inner],
            input="\n".join(self._shared), env=self.environment | self._pip, timeout=BUILD_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}"

    def _copy(self, *words: str) -> None:
        if words[0].startswith("--from="):
            source = self._stages[words[0].removeprefix("--from=")] / words[1].lstrip("/")
            subprocess.run(["cp", "-a", str(source), str(self._inside(words[2]))], check=True)
            return
        assert words == (".", ".")
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, tracked.stdout.split("\0")):
            if not ignored(Path(name)) and (ROOT / name).exists():
                self._inside(name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self._inside(name), follow_symlinks=False)

    @contextmanager
    def running(self, url: str, **variables: str) -> Iterator[None]:
        """A container: a read-only tree, and a user without a home. Entered when it answers at `url`."""
        log = self._folder / "log"
        mounts = {"VOLUMES": " ".join(self.volumes), "OWNER": self.user, "SHARED_MEMORY": SHARED_MEMORY}
        script = f'cd {self._directory}; touch probe 2>&1 | grep -q Read-only; exec "$@"'
        inner = ["env", *(f"--unset={name}" for name in ("HOME", *mounts)), "sh", "-e", "-c", script, "sh"]
        with log.open("wb") as output:
            container = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "sh", "-e", "-c", MOUNT_RUN,
                 str(self.tree), *inner, *self.entry],
                env=self.environment | variables | mounts, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        try:
            end_s = time.monotonic() + START_S
            while not answers(url):
                if container.poll() is not None or time.monotonic() > end_s:
                    pytest.fail(log.read_text())
                time.sleep(0.5)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(container.pid, signal.SIGTERM)  # `unshare` itself ignores it
            status = container.wait(60)
        assert status == 0, log.read_text()


@pytest.mark.slow
def test_image_built_by_its_own_steps_speaks(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    image, port = Image(tmp_path), free_port()
    image.build()
    assert image.user.split(":")[0] != "0"
    assert COMPOSE["services"]["sayline"]["read_only"] is True
    assert COMPOSE["services"]["sayline"]["tmpfs"] == ["/tmp"]
    settings = {"SAYLINE_PORT": str(port), "SAYLINE_API_KEY": "a-key-of-the-test", "SAYLINE_VARIANT": "embedded"}
    with image.running(f"http://127.0.0.1:{port}/readyz", **settings):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/audio/speech",
            json.dumps(
                {"model": "tts-1", "voice": "alloy", "input": "Hello there.", "response_format": "pcm"}
            ).encode(),
            {"Authorization": f"Bearer {settings['SAYLINE_API_KEY']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert 24_000 < len(answer.read()) < 240_000  # 0.5 to 5 s


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
