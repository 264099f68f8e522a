"""Names of voices that clients of other services send, and whom they mean here. Knows no model and no file."""

from collections.abc import Sequence

# Clients refuse any other name before they ask, so each of these has to mean somebody.
OPENAI_VOICES = (
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse",
)  # fmt: skip


def meant_here(name: str, voices: Sequence[str], default: str) -> str:
    """The voice that a name of OpenAI's stands for, always the same; other names stand for themselves.

    The first of theirs is ours by default, and the others follow in turn.
    """
    if name in voices or name not in OPENAI_VOICES or not voices:
        return name
    ours = sorted(voices, key=lambda voice: voice != default)
    return ours[OPENAI_VOICES.index(name) % len(ours)]
