"""Storage of cloned voices: a folder with a `.safetensors` file and a JSON metadata file for each voice.

A voice exists if its metadata file does: that file is written last and deleted first, each by a rename. So a kill at
any moment leaves complete voices, and at worst an orphaned file that a later start removes.

A folder belongs to one server. Changes by others are seen at the next start.
"""

import logging
import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.cloning.recording_quality import QualityIssue
from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.limits import ANONYMOUS

log = logging.getLogger(__name__)

ID = re.compile(r"v-[0-9a-f]{16}")
VOICE, METADATA, PART = ".safetensors", ".json", ".part"
MAX_NAME_CHARS = 64
NAME_MARKS = " _-.'"
ORPHAN_AGE_S = 3600.0  # a younger file may still be being written, by another server on the same folder


class VoiceNameError(InputError):
    code = "bad_voice_name"


class VoiceNameTaken(InputError):
    code = "voice_name_taken"


class StoreError(InputError):
    """The folder cannot be written. Only the log has the details, because they include paths."""

    code = "voices_not_kept"


class VoiceMetadata(msgspec.Struct, frozen=True):
    """Metadata of a stored voice. `owner` is the name of the key that created it.

    `weights`: SHA-256 of the weights of its model, "" if it was stored before that was noted.
    """

    id: str
    name: str
    owner: str
    created: datetime
    consent: bool
    duration_s: float
    advice: tuple[QualityIssue, ...]
    model: str
    weights: str = ""

    @classmethod
    def new(
        cls,
        name: str,
        owner: str,
        duration_s: float,
        advice: tuple[QualityIssue, ...],
        model: str,
        weights: str = "",
    ) -> Self:
        """Metadata of a new voice whose speaker has consented. An empty `name` defaults to the id."""
        id = f"v-{secrets.token_hex(8)}"
        now = datetime.now(UTC).replace(microsecond=0)
        return cls(id, name or id, owner, now, True, round(duration_s, 2), advice, model, weights)


def check_name(name: str) -> str:
    """Validate and normalize a name, which cannot look like a path, URL or id. Raises `VoiceNameError`."""
    name = unicodedata.normalize("NFC", name.strip())
    if len(name) > MAX_NAME_CHARS or not all(map(_is_name_char, name)):
        raise VoiceNameError(
            f"invalid voice name; use at most {MAX_NAME_CHARS} letters, digits, spaces and {NAME_MARKS.strip()}, "
            "or omit the field name"
        )
    if ID.fullmatch(name):
        raise VoiceNameError("this name has the form of a voice id; choose another, or omit the field name")
    return name


class VoiceStore:
    """Lookups read no files. Methods that access files are thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._write_lock = threading.Lock()
        self._voices = self._read_all()  # replaced, never mutated, so that lookups need no lock

    # Lookup

    def visible(self, owner: str) -> list[VoiceMetadata]:
        """Voices that `owner` may use, oldest first: its own, and those created without a key."""
        voices = (voice for voice in self._voices.values() if voice.owner in (owner, ANONYMOUS))
        return sorted(voices, key=lambda voice: (voice.created, voice.id))

    def find(self, name: str, owner: str) -> VoiceMetadata | None:
        """Find a voice by id or name; the owner's voices take precedence over shared ones."""
        if voice := self._voices.get(name):
            return voice if voice.owner in (owner, ANONYMOUS) else None
        named = [voice for voice in self.visible(owner) if voice.name == name]
        return next((voice for voice in named if voice.owner == owner), next(iter(named), None))

    def count(self, owner: str) -> int:
        return sum(voice.owner == owner for voice in self._voices.values())

    def path(self, metadata: VoiceMetadata) -> Path:
        """Path of the voice file, which disappears when the voice is deleted."""
        return self._folder / (metadata.id + VOICE)

    # Changes

    def add(self, metadata: VoiceMetadata, voice: bytes) -> None:
        """Store a voice file and its metadata. Raises `VoiceNameTaken`, `StoreError`."""
        with self._exclusive():
            if any(other.owner == metadata.owner and other.name == metadata.name for other in self._voices.values()):
                raise VoiceNameTaken(f"voice {metadata.name!r} already exists; choose another name, or delete it first")
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                atomic_write(self.path(metadata), voice, 0o600)
                atomic_write(
                    self._metadata_path(metadata), msgspec.json.format(msgspec.json.encode(metadata), indent=2), 0o600
                )
            except BaseException:
                self.path(metadata).unlink(missing_ok=True)
                raise
            self._voices = {**self._voices, metadata.id: metadata}

    def delete(self, metadata: VoiceMetadata) -> None:
        """Delete a voice; deleting it again is harmless. Raises `StoreError`."""
        with self._exclusive():
            self._metadata_path(metadata).unlink(missing_ok=True)
            self._voices = {id: other for id, other in self._voices.items() if id != metadata.id}
            self.path(metadata).unlink(missing_ok=True)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        try:
            with self._write_lock:
                yield
        except OSError as error:
            log.exception("cannot write the voice folder %s", self._folder)
            raise StoreError("the server cannot write its voice folder; see the server's log") from error

    # Startup

    def _read_all(self) -> dict[str, VoiceMetadata]:
        voices = [
            voice for path in self._files(METADATA) if (voice := read_metadata(path)) and self.path(voice).is_file()
        ]
        self._remove_orphans()
        return {voice.id: voice for voice in voices}

    def _remove_orphans(self) -> None:
        files = (path for path in self._files(VOICE) if ID.fullmatch(path.stem))
        orphans = [path for path in files if not path.with_suffix(METADATA).exists()]
        for path in (*orphans, *self._files(PART)):
            try:
                if time.time() - path.stat().st_mtime > ORPHAN_AGE_S:
                    path.unlink()
            except OSError as error:
                log.warning("cannot delete the orphaned file %s (%s)", path, error.strerror)

    def _files(self, suffix: str) -> list[Path]:
        try:
            return sorted(self._folder.glob("*" + suffix))
        except OSError as error:
            log.warning("cannot list the voice folder %s (%s)", self._folder, error.strerror)
            return []

    def _metadata_path(self, metadata: VoiceMetadata) -> Path:
        return self._folder / (metadata.id + METADATA)


def _is_name_char(char: str) -> bool:
    return char in NAME_MARKS or unicodedata.category(char)[0] in "LMN"  # letters, their marks, digits


def read_metadata(path: Path) -> VoiceMetadata | None:
    try:
        metadata = msgspec.json.decode(path.read_bytes(), type=VoiceMetadata)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        log.warning("%s is not valid voice metadata (%s); ignoring this voice and keeping its file", path, error)
        return None
    return metadata if ID.fullmatch(metadata.id) and metadata.id == path.stem else None
