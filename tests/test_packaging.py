"""The wheel of the server: its top-level names, its data files, and its public Python API."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
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
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Those of the server and the client, built as `make dist` does."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--disable-pip-version-check", "-w", str(folder)]
    output(*command, str(ROOT), str(ROOT / "clients" / "python"))
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def wheel(wheels: dict[str, Path]) -> Path:
    return wheels["sayline"]


def output(*command: str, folder: Path = ROOT) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


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


@pytest.mark.slow
def test_commands_of_both_wheels_work_in_an_empty_environment(wheels: dict[str, Path], tmp_path: Path) -> None:
    output(sys.executable, "-m", "venv", str(tmp_path / "env"))
    python = str(tmp_path / "env" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    output(*pip, *map(str, wheels.values()))
    packages = output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # Other packages are those of this environment, whose editable installations are not found this way.
    (Path(packages) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    sayline = str(tmp_path / "env" / "bin" / "sayline")
    assert f"sayline {version('sayline')}" in output(sayline, "--version", folder=tmp_path)
    assert "clara" in output(sayline, "voices", "--variant", "embedded", folder=tmp_path)
    assert output(python, "-c", "import sayline; print(sayline.__file__)", folder=tmp_path).startswith(packages)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_javascript_package_works_where_it_is_installed(tmp_path: Path) -> None:
    name = output("npm", "pack", "--silent", "--pack-destination", str(tmp_path), str(ROOT / "clients" / "js")).strip()
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    output("npm", "install", "--offline", "--no-audit", "--no-fund", f"./{name}", folder=tmp_path)
    code = "import { connect, VoiceFailed } from '@sayline/client'; console.log(typeof connect, VoiceFailed.name)"
    assert output("node", "--input-type=module", "-e", code, folder=tmp_path) == "function VoiceFailed\n"
    installed = tmp_path / "node_modules" / "@sayline" / "client"
    assert {path.name for path in installed.iterdir()} >= {"LICENSE", "README.md", "index.d.ts", "sayline.js"}
    assert not (installed / "test").exists()


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
