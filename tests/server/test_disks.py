"""Disks that are full for real, and a server that is killed in the middle of an upload."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.server.raw_http import raw_client
from tests.server.voice_server import form, some_voice, voice_server

VOICE_FILE = some_voice(100).to_bytes()
DISK_BYTES = 256 * 1024
SERVER = """
import asyncio, sys
from pathlib import Path
from tests.server.voice_server import voice_server

async def run():
    async with voice_server(Path(sys.argv[1])) as server:
        print(server.address, flush=True)
        await asyncio.Event().wait()

asyncio.run(run())
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of `DISK_BYTES`."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root and the program mount")
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this system allows no mounts")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4_096)):
                pass
        except OSError:
            pass
    return filler


async def test_full_disk_refuses_new_voices_and_keeps_the_old_ones(small_disk: Path) -> None:
    async with voice_server(small_disk) as server:
        assert (await server.create(file=VOICE_FILE, name="before")).status == 201
        filler = fill(small_disk)
        response = await server.create(file=VOICE_FILE, name="late")
        assert (response.status, response.code) == (507, "voices_not_kept")
        assert str(small_disk) not in response.body.decode()
        assert (await server.voices.get("before")).positions
        names = [voice["name"] for voice in (await server.request("GET", "")).json["voices"]]
        assert "before" in names
        assert "late" not in names
        filler.unlink()
        assert (await server.create(file=VOICE_FILE, name="late")).status == 201
    kept = {path.stem for path in (small_disk / "voices").iterdir()}
    assert len(kept) == 2  # and no half one


async def test_full_folder_of_temporary_files_gives_507(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    async with voice_server(tmp_path / "data") as server:
        assert (await server.create(file=VOICE_FILE)).status == 201
        filler = fill(small_disk)
        response = await server.create(file=VOICE_FILE)
        assert (response.status, response.code) == (507, "voices_not_kept")
        assert not re.search(r"\W/\w", response.json["error"]["message"])
        filler.unlink()
        assert (await server.create(file=VOICE_FILE)).status == 201


@pytest.mark.slow
@pytest.mark.parametrize("sent", [0.5, 1.0])
async def test_server_killed_in_an_upload_restarts_without_a_half_voice(tmp_path: Path, sent: float) -> None:
    whole = upload()
    with started(tmp_path) as (process, address):
        async with raw_client(address) as one:
            kind, body = "multipart/form-data; boundary=b", whole[: int(sent * len(whole))]
            await one.request("POST /v1/voices", body, Content_Type=kind, Content_Length=str(len(whole)))
            await asyncio.sleep(0.05)
            process.kill()
            await one.rest()
    with started(tmp_path) as (_, address):
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://{address}/v1/voices") as response:
                names = [voice["name"] for voice in (await response.json())["voices"] if voice["kind"] == "cloned"]
            assert names == [] or (names == ["Ann"] and sent == 1.0)
            async with client.post(f"http://{address}/v1/voices", data=form(file=VOICE_FILE, name="Bob")) as response:
                assert response.status == 201
    stored = list((tmp_path / "voices").iterdir())
    assert len([path for path in stored if path.suffix == ".json"]) == len(names) + 1


def upload() -> bytes:
    """The form of a voice named Ann, as bytes."""
    fields = (("consent", b"true"), ("name", b"Ann"), ("file", VOICE_FILE))
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data for name, data in fields]
    return b"\r\n".join([*parts, b"--b--\r\n"])


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its address. It is killed at the end."""
    with subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()
