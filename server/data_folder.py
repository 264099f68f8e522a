"""The data folder as a whole: its format, and its files in one archive.

    format.json               {"version": 1}; a folder without it is of version 1
    keys.json                 hashes of API keys
    usage.json                totals of usage
    voices/v-<id>.json        metadata of a stored voice, and its
    voices/v-<id>.safetensors
    lexicons/l-<id>.json      a lexicon

An archive is a gzipped tar of these files and `manifest.json`, which has the SHA-256 of each.
"""

import hashlib
import io
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from sayline_tts.engine.checkpoint.atomic_write import atomic_file, atomic_write
from sayline_tts.engine.checkpoint.safetensors_reader import read_tensors
from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.keys import KeyFile
from sayline_tts.server.accounting.ledger import UsageFile
from sayline_tts.server.lexicons.store import SUFFIX, read_lexicon
from sayline_tts.server.voices.store import METADATA, VOICE, read_metadata

VERSION = 1
FORMAT, KEYS, USAGE, MANIFEST = "format.json", "keys.json", "usage.json", "manifest.json"
VOICES, LEXICONS = "voices", "lexicons"
NAME = re.compile(
    r"(?:format|keys|usage)\.json|voices/v-[0-9a-f]{16}\.(?:json|safetensors)|lexicons/l-[0-9a-f]{16}\.json"
)
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024


class DataFolderError(InputError):
    code = "bad_data_folder"


class _Format(msgspec.Struct, frozen=True):
    version: int


class _Manifest(msgspec.Struct, frozen=True):
    version: int
    sha256: dict[str, str]  # by name


class DataFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def check_version(self) -> None:
        """Raises `DataFolderError` if the folder is of a later version. Marks an existing folder as of this version."""
        file = self.path / FORMAT
        try:
            version = msgspec.json.decode(file.read_bytes(), type=_Format).version
        except FileNotFoundError:
            if self.path.is_dir() and os.access(self.path, os.W_OK):
                atomic_write(file, msgspec.json.encode(_Format(VERSION)), 0o600)
            return
        except (OSError, msgspec.MsgspecError) as error:
            raise DataFolderError(f"cannot read {file} ({error}); restore it, or delete it if Sayline is new") from None
        if version > VERSION:
            message = f"{self.path} is of format {version}, and this Sayline knows formats up to {VERSION}"
            raise DataFolderError(f"{message}; install a later Sayline, or give another --data")

    def names(self) -> list[str]:
        """The files that belong to it."""
        found = [name for name in (FORMAT, KEYS, USAGE) if (self.path / name).is_file()]
        stems = sorted(path.stem for path in (self.path / VOICES).glob("v-*" + METADATA))
        lexicons = sorted(path.name for path in (self.path / LEXICONS).glob("l-*" + SUFFIX))
        voices = [f"{VOICES}/{stem}{suffix}" for stem in stems for suffix in (METADATA, VOICE)]
        return [*found, *voices, *(f"{LEXICONS}/{name}" for name in lexicons)]

    def problems(self) -> Iterator[str]:
        """What is damaged, each with what to do."""
        try:
            self.check_version()
            KeyFile(self.path / KEYS).read()
        except InputError as error:
            yield str(error)
        try:
            UsageFile(self.path / USAGE).read()
        except InputError as error:
            yield str(error)
        for name in self.names():
            path = self.path / name
            if name.endswith(VOICE):
                yield from self._voice_problems(path)
            elif name.startswith(VOICES) and read_metadata(path) is None:
                yield f"{path} is not valid voice metadata; restore it, or delete it and its {VOICE}"
            elif name.startswith(LEXICONS) and read_lexicon(path) is None:
                yield f"{path} is not a valid lexicon; restore it, or delete it and import the lexicon again"

    def _voice_problems(self, path: Path) -> Iterator[str]:
        try:
            read_tensors(path)
        except InputError as error:
            yield f"{error}; restore {path.name}, or delete the voice and clone it again"

    def export(self, target: Path) -> list[str]:
        """Write an archive, atomically and readable by its owner only. Returns the names in it. Raises `OSError`.

        Works while a server uses the folder.
        """
        hashes: dict[str, str] = {}
        with atomic_file(target, 0o600) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name in self.names():
                try:
                    data = (self.path / name).read_bytes()
                except FileNotFoundError:  # deleted just now
                    continue
                hashes[name] = hashlib.sha256(data).hexdigest()
                _add(archive, name, data)
            _add(archive, MANIFEST, msgspec.json.encode(_Manifest(VERSION, hashes)))
        return list(hashes)

    def restore(self, source: Path) -> list[str]:
        """Unpack an archive into this folder, which must have none of its files. Returns the names.

        The archive is checked completely before anything is moved into place. Raises `DataFolderError`, `OSError`.
        """
        if occupied := [name for name in self.names() if name != FORMAT]:
            message = f"{self.path} has {occupied[0]} already; move its content away, or give another --data"
            raise DataFolderError(message)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.path, prefix=".import-") as folder:
            names = _unpack(source, Path(folder))
            for subfolder in {name.partition("/")[0] for name in names if "/" in name}:
                (self.path / subfolder).mkdir(mode=0o700, exist_ok=True)
            for name in sorted(names, key=lambda name: name.endswith(METADATA)):  # a voice exists with its metadata
                os.replace(Path(folder) / name, self.path / name)
        return names


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o600
    archive.addfile(member, io.BytesIO(data))


def _unpack(source: Path, folder: Path) -> list[str]:
    """Unpack into an empty folder, and compare with the manifest."""
    (folder / VOICES).mkdir()
    (folder / LEXICONS).mkdir()
    hashes: dict[str, str] = {}
    manifest = None
    try:
        with tarfile.open(source, "r:gz") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or member.name in hashes:
                    raise DataFolderError(f"{source} is no export of Sayline: unexpected {member.name[:100]!r}")
                if member.name == MANIFEST and member.size <= MAX_MANIFEST_BYTES:
                    manifest = msgspec.json.decode(content.read(), type=_Manifest)
                elif NAME.fullmatch(member.name):
                    hashes[member.name] = _copy(content, folder / member.name)
                else:
                    raise DataFolderError(f"{source} is no export of Sayline: unexpected {member.name[:100]!r}")
    except (tarfile.TarError, EOFError, OSError, msgspec.MsgspecError) as error:
        raise DataFolderError(f"cannot read {source} ({error}); export it again") from None
    if manifest is None or manifest.sha256 != hashes:
        raise DataFolderError(f"{source} is incomplete or damaged; export it again")
    if manifest.version > VERSION:
        message = f"{source} is of format {manifest.version}, and this Sayline knows formats up to {VERSION}"
        raise DataFolderError(f"{message}; install a later Sayline")
    return list(hashes)


def _copy(content: IO[bytes], target: Path) -> str:
    """Copy to a new file and return its SHA-256."""
    digest = hashlib.sha256()
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while block := content.read(BLOCK_BYTES):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
