"""The wheel of the server: its top-level names, its data files, and its public Python API."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = (
    "web/index.html",
    "clients/js/sayline.js",
    "engine/checkpoint/catalogue.yaml",
    "engine/checkpoint/embedded/config.yaml",
    "engine/checkpoint/embedded/model.safetensors",
    "engine/checkpoint/embedded/tokenizer.model",
    "engine/checkpoint/embedded/voices/clara.safetensors",
    "engine/text/normalization/languages/en.yaml",
)
CHECK = """
import sayline_tts
from sayline_tts.engine.checkpoint.checkpoint import find_checkpoint
from sayline_tts.engine.text.normalization.language_data import LanguageData
from sayline_tts.server.http.page import page_root

print(sayline_tts.__file__)
print(sayline_tts.TTSModel.__module__, sayline_tts.export_model_state.__module__)
print(find_checkpoint("embedded").weights)
print(page_root())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--disable-pip-version-check", "-w", str(folder)]
    built = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_has_one_top_level_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"sayline_tts"}
    assert {name.split("/")[1] for name in names if name.startswith("sayline_tts/")} == {
        "__init__.py", "bench", "clients", "engine", "server", "web",
    }  # fmt: skip


@pytest.mark.slow
def test_wheel_contains_all_package_files(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"sayline_tts/{path}" for path in DATA} <= names
    tracked = subprocess.run(
        ["git", "ls-files", "bench", "engine", "server", "web"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {f"sayline_tts/{path}" for path in tracked.stdout.split() if (ROOT / path).is_file()} <= names
    assert not {name for name in names if "/test" in name or name.endswith(".pyc")}


@pytest.mark.slow
def test_wheel_has_the_licence(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel)
    (info,) = {name.partition("/")[0] for name in files.namelist() if ".dist-info/" in name}
    for name in ("LICENSE", "NOTICE"):
        assert files.read(f"{info}/licenses/{name}") == (ROOT / name).read_bytes()
    assert b"License-Expression: Apache-2.0" in files.read(f"{info}/METADATA")


def test_clients_have_the_same_licence() -> None:
    for client in ("python", "js"):
        assert (ROOT / "clients" / client / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.mark.slow
def test_public_api_resolves_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    package = tmp_path / "sayline_tts"
    assert run.stdout.splitlines() == [
        str(package / "__init__.py"),
        "sayline_tts.engine.tts_model sayline_tts.engine.tts_model",
        str(package / "engine" / "checkpoint" / "embedded" / "model.safetensors"),
        str(package),
    ]
