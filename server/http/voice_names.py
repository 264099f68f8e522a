"""OpenAI's voice names, mapped to voices of this server."""

from collections.abc import Sequence

# OpenAI's clients reject other names before sending, so each of these must map to a voice.
OPENAI_VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip


def resolve_openai_voice(name: str, voices: Sequence[str], default: str) -> str:
    """Map a voice name of OpenAI to one of `voices`, always the same one. Other names are returned unchanged.

    OpenAI's first voice maps to `default`, the others to `voices` in turn.
    """
    if name in voices or name not in OPENAI_VOICES or not voices:
        return name
    ours = sorted(voices, key=lambda voice: voice != default)
    return ours[OPENAI_VOICES.index(name) % len(ours)]
