"""The Dockerfile and compose file: linted, unprivileged, and built like `make run`."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sayline_tts.server.settings import Settings
from sayline_tts.server.settings_table import settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text("utf-8"))
VARIABLES = {name for setting in settings() for name in setting.variables}


def instructions() -> list[tuple[str, str]]:
    """Instructions without comments, each on one line."""
    lines = [line for line in DOCKERFILE.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in whole)]


def of(word: str) -> list[str]:
    return [rest for each, rest in instructions() if each == word]


def recipe(target: str) -> tuple[list[str], list[str]]:
    """Prerequisites and commands of a Makefile target."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    found = re.search(rf"^{re.escape(target)}:(.*)\n((?:\t.*\n)*)", makefile, re.MULTILINE)
    assert found
    return found[1].split(), [line.strip() for line in found[2].splitlines()]


def test_hadolint_passes() -> None:
    here = Path(sys.executable).parent / "hadolint"
    hadolint = str(here) if here.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_image_is_built_and_run_like_make_run() -> None:
    needs, does = recipe("run")
    assert needs == [".venv/ready"]
    assert f"make {needs[0]}" in of("RUN")
    assert does == ["$(BIN)/sayline serve $(ARGS)"]
    (entry,) = of("ENTRYPOINT")
    assert " ".join(json.loads(entry)) == does[0].replace("$(BIN)", ".venv/bin").removesuffix(" $(ARGS)")


def test_image_is_unprivileged_and_writes_to_one_volume() -> None:
    assert [user for user in of("USER") if user.startswith(("root", "0"))] == []
    order = [word for word, _ in instructions()]
    assert order.index("USER") < order.index("ENTRYPOINT")
    (volume,) = of("VOLUME")
    written = re.findall(r"(SAYLINE_DATA|HF_HOME|XDG_CACHE_HOME)=(\S+)", of("ENV")[0])
    assert len(written) == 3
    assert all(path.startswith(f"{volume}/") for _, path in written)


def test_healthcheck() -> None:
    (check,) = of("HEALTHCHECK")
    command = json.loads(check.partition("CMD ")[2])
    assert command[:2] == [".venv/bin/python", "-c"]
    compile(command[2], "healthcheck", "exec")
    assert "/healthz" in command[2]


def test_variables_are_settings() -> None:
    text = DOCKERFILE.read_text("utf-8") + (ROOT / "deploy" / "compose.yaml").read_text("utf-8")
    assert set(re.findall(r"SAYLINE_[A-Z_]+", text)) <= VARIABLES


def test_build_artifacts_are_ignored() -> None:
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {".git", ".venv", ".venv-peer", "build", "**/__pycache__"} <= set(ignored)


def test_service_keeps_its_data_and_requires_a_key() -> None:
    service = COMPOSE["services"]["sayline"]
    assert (ROOT / "deploy" / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == DOCKERFILE
    assert "SAYLINE_API_KEY:?" in service["environment"]["SAYLINE_API_KEY"]
    (volume,) = service["volumes"]
    name, _, place = volume.partition(":")
    assert name in COMPOSE["volumes"]
    assert [place] == of("VOLUME")


def test_service_is_hardened() -> None:
    service = COMPOSE["services"]["sayline"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert not {"privileged", "network_mode", "pid", "user"} & service.keys()


def test_grace_period_exceeds_the_drain_time() -> None:
    patience_s = float(COMPOSE["services"]["sayline"]["stop_grace_period"].removesuffix("s"))
    assert patience_s > Settings().drain_s + 10
    assert of("STOPSIGNAL") == ["SIGTERM"]
