"""The voices that people made, in a folder: each a `.safetensors` and a small JSON, its card. Knows no tensors.

A voice is there as long as its card is: that is written last and deleted first, each file by a rename. So a kill at
any moment leaves whole voices, and at worst a file without a card, which the next start clears away.

A folder belongs to one server. It sees what others do there when it starts again.
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

import msgspec

from sayline_tts.engine.checkpoint.atomic_write import write_whole
from sayline_tts.engine.cloning.recording_quality import Advice
from sayline_tts.engine.errors import InputError
from sayline_tts.server.access.limits import ANONYMOUS

log = logging.getLogger(__name__)

ID = re.compile(r"v-[0-9a-f]{16}")
VOICE, CARD, PART = ".safetensors", ".json", ".part"
MAX_NAME_CHARS = 64
NAME_MARKS = " _-.'"
LEFTOVER_AGE_S = 3600.0  # what is younger may still be written, by another server that was given the same folder


class VoiceNameError(InputError):
    code = "bad_voice_name"


class VoiceNameTaken(InputError):
    code = "voice_name_taken"


class StoreError(InputError):
    """The folder is at fault, which only the log says in full."""

    code = "voices_not_kept"


class Card(msgspec.Struct, frozen=True):
    """What is known of a voice, beside its sound. `owner` is the name of a key."""

    id: str
    name: str
    owner: str
    created: datetime
    consent: bool
    duration_s: float
    advice: tuple[Advice, ...]
    model: str

    @classmethod
    def new(cls, name: str, owner: str, duration_s: float, advice: tuple[Advice, ...], model: str) -> "Card":
        """Of somebody who consented. `name` may be empty: then its id is its name."""
        id = f"v-{secrets.token_hex(8)}"
        now = datetime.now(UTC).replace(microsecond=0)
        return cls(id, name or id, owner, now, True, round(duration_s, 2), advice, model)


def check_name(name: str) -> str:
    """The name as it is kept. It has nothing of a path, an address or an id. Raises `VoiceNameError`."""
    name = unicodedata.normalize("NFC", name.strip())
    if len(name) > MAX_NAME_CHARS or not all(map(_may_be_in_a_name, name)):
        raise VoiceNameError(
            f"a voice's name has at most {MAX_NAME_CHARS} letters, digits, spaces and {NAME_MARKS.strip()}; "
            "choose another, or leave it out"
        )
    if ID.fullmatch(name):
        raise VoiceNameError("that name looks like the id of a voice; choose another, or leave it out")
    return name


class VoiceStore:
    """Looking something up reads no file. What reads and writes files may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.Lock()
        self._cards = self._read_cards()  # replaced, never changed: others look at it meanwhile

    # Looking up

    def visible(self, owner: str) -> list[Card]:
        """What this owner may speak with, oldest first: his own, and those made when nobody had a key."""
        seen = (card for card in self._cards.values() if card.owner in (owner, ANONYMOUS))
        return sorted(seen, key=lambda card: (card.created, card.id))

    def find(self, name: str, owner: str) -> Card | None:
        """By id or by name; his own before those of all."""
        if card := self._cards.get(name):
            return card if card.owner in (owner, ANONYMOUS) else None
        named = [card for card in self.visible(owner) if card.name == name]
        return next((card for card in named if card.owner == owner), next(iter(named), None))

    def count(self, owner: str) -> int:
        return sum(card.owner == owner for card in self._cards.values())

    def path(self, card: Card) -> Path:
        """Of the voice itself. It is gone when the voice is deleted."""
        return self._folder / (card.id + VOICE)

    # Changing

    def add(self, card: Card, voice: bytes) -> None:
        """Raises `VoiceNameTaken`, `StoreError`."""
        with self._changing():
            if any(other.owner == card.owner and other.name == card.name for other in self._cards.values()):
                raise VoiceNameTaken(f"there is a voice {card.name!r} already; choose another name, or delete it first")
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                write_whole(self.path(card), voice, 0o600)
                write_whole(self._card_path(card), msgspec.json.format(msgspec.json.encode(card), indent=2), 0o600)
            except BaseException:
                self.path(card).unlink(missing_ok=True)
                raise
            self._cards = {**self._cards, card.id: card}

    def delete(self, card: Card) -> None:
        """Twice is harmless. Raises `StoreError`."""
        with self._changing():
            self._card_path(card).unlink(missing_ok=True)
            self._cards = {id: other for id, other in self._cards.items() if id != card.id}
            self.path(card).unlink(missing_ok=True)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with self._writing:
                yield
        except OSError as error:
            log.exception("the voices in %s cannot be changed", self._folder)
            raise StoreError("this server cannot keep or delete voices now; its log tells why") from error

    # Starting

    def _read_cards(self) -> dict[str, Card]:
        cards = [card for path in self._files(CARD) if (card := _read_card(path)) and self.path(card).is_file()]
        self._clear_leftovers()
        return {card.id: card for card in cards}

    def _clear_leftovers(self) -> None:
        voices = (path for path in self._files(VOICE) if ID.fullmatch(path.stem))
        stray = [path for path in voices if not path.with_suffix(CARD).exists()]
        for path in (*stray, *self._files(PART)):
            try:
                if time.time() - path.stat().st_mtime > LEFTOVER_AGE_S:
                    path.unlink()
            except OSError as error:
                log.warning("cannot clear away %s (%s)", path, error.strerror)

    def _files(self, suffix: str) -> list[Path]:
        try:
            return sorted(self._folder.glob("*" + suffix))
        except OSError as error:
            log.warning("cannot read the voices in %s (%s)", self._folder, error.strerror)
            return []

    def _card_path(self, card: Card) -> Path:
        return self._folder / (card.id + CARD)


def _may_be_in_a_name(char: str) -> bool:
    return char in NAME_MARKS or unicodedata.category(char)[0] in "LMN"  # letters, their marks, digits


def _read_card(path: Path) -> Card | None:
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        log.warning("%s is no card of a voice (%s); the voice beside it is left alone", path, error)
        return None
    return card if ID.fullmatch(card.id) and card.id == path.stem else None
