"""What an agent says in one go. Its text ends before its audio, or after it where the speech failed."""

import asyncio
from dataclasses import dataclass

from sayline.context import Context


@dataclass
class Turn:
    speech: Context | None  # None: it failed
    reading: asyncio.Task[None] | None = None
    text_ended: bool = False
    audio_ended: bool = False
    interruptible: bool = True

    @property
    def over(self) -> bool:
        return self.text_ended and self.audio_ended
