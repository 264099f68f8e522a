"""Voices of other vendors: which voice of this server speaks for a vendor's name or id."""

import logging
from collections.abc import Iterable, Sequence

from sayline_tts.engine.errors import UnknownVoice
from sayline_tts.server.access.limits import Caller
from sayline_tts.server.voices.voices import Voices

log = logging.getLogger(__name__)

ANY = "*"
MAX_LOGGED = 100  # names; each is logged once


# OpenAI's clients reject other names before sending, so each of these must map to a voice.
OPENAI_VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip


class VoiceAliases:
    """`pairs`: as in `--voice-aliases`, a vendor's name or id and the voice that speaks for it. `*` is every other."""

    def __init__(self, voices: Voices, default_voice: str, pairs: Iterable[tuple[str, str]]) -> None:
        self._voices, self._default_voice = voices, default_voice
        self._aliases = dict(pairs)
        self._logged: set[str] = set()

    def replace(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Use these from now on."""
        self._aliases = dict(pairs)

    def resolve(self, name: str | None, caller: Caller) -> str:
        """The voice of this server that speaks for `name`. Raises `UnknownVoice` if `*` is mapped to nothing."""
        default = self.default(caller)
        if name is None:
            return default
        if (found := self.find(name, caller)) is not None:
            return found
        voice = self._aliases.get(ANY, default)
        if not voice:
            raise UnknownVoice(f"voice {name[:100]!r} is not known here; add it to --voice-aliases, or use a known one")
        if name not in self._logged and len(self._logged) < MAX_LOGGED:
            self._logged.add(name)
            log.warning("voice %r is not known here, so %r speaks; --voice-aliases can map it", name[:100], voice)
        return voice

    @property
    def any_other(self) -> str | None:
        """The voice that the operator has chosen for names that are not known here."""
        return self._aliases.get(ANY)

    def default(self, caller: Caller) -> str:
        return caller.limits.default_voice(self._default_voice, self._voices.built_in())

    def find(self, name: str, caller: Caller) -> str | None:
        """The voice of this server with this name or id, or the one that is known to speak for it."""
        built_in = self._voices.built_in()
        if name in built_in or self._voices.find(name, caller.name):
            return name
        if alias := self._aliases.get(name):
            return alias
        voice = resolve_openai_voice(name, caller.limits.allowed_voices(built_in), self.default(caller))
        return None if voice == name else voice


def resolve_openai_voice(name: str, voices: Sequence[str], default: str) -> str:
    """Map a voice name of OpenAI to one of `voices`, always the same one. Other names are returned unchanged.

    OpenAI's first voice maps to `default`, the others to `voices` in turn.
    """
    if name in voices or name not in OPENAI_VOICES or not voices:
        return name
    ours = sorted(voices, key=lambda voice: voice != default)
    return ours[OPENAI_VOICES.index(name) % len(ours)]
