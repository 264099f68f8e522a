"""One context of the scripted server: every word is an 80 ms tone."""

import asyncio
import math
import re
from typing import Any, Protocol

from tests.clients.tone import FRAME_MS, FRAME_SAMPLES, TONE, packet

Message = dict[str, Any]
Place = tuple[int, int]  # of a word in the text


class ReconnectingSession(Protocol):
    def say(self, message: Message) -> None: ...
    def cut(self) -> None: ...
    async def hang_up(self) -> None: ...


class Speaker:
    """A segment ends with a full stop and a space, or at a flush or the end."""

    def __init__(self, start: Message, hold: asyncio.Event, line: ReconnectingSession) -> None:
        self.taken = 1  # messages, counting `start`
        self.said: list[Message] = []
        self.over = False
        self._context_id = start["context_id"]
        self._format = start.get("format", "opus")
        self._hold, self._line = hold, line
        self._text, self._read_chars = "", 0
        self._heard: list[Place] = []
        self._to_do: asyncio.Queue[list[Place] | Message] = asyncio.Queue()
        self._task = asyncio.create_task(self._speak())

    def take(self, message: Message) -> None:
        self.taken += message["type"] != "ack"
        match message["type"]:
            case "text":
                self._text += message["text"]
                while (stop := self._text.find(". ", self._read_chars)) >= 0:
                    self._read_to(stop + 1)
            case "flush" | "end":
                self._read_to(len(self._text))
                self._to_do.put_nowait(message)
            case "cancel" if not self.over:
                self._task.cancel()
                self._end(self._cancelled(message.get("played_ms", math.inf)))

    def say(self, kind: str, **fields: object) -> None:
        event = {"type": kind, "context_id": self._context_id, "seq": len(self.said), **fields}
        self.said.append(event)
        self._line.say(event)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    @property
    def _duration_ms(self) -> float:
        return FRAME_MS * len(self._heard)

    def _read_to(self, end: int) -> None:
        words = [match.span() for match in re.compile(r"\S+").finditer(self._text, self._read_chars, end)]
        self._read_chars = end
        if words:
            self._to_do.put_nowait(words)

    async def _speak(self) -> None:
        while not self.over:
            to_do = await self._to_do.get()
            if isinstance(to_do, list):
                await self._speak_segment(to_do)
            elif to_do["type"] == "flush":
                self.say("flushed", at_ms=self._duration_ms, **({"id": to_do["id"]} if "id" in to_do else {}))
            else:
                self._end({"type": "done", "duration_ms": self._duration_ms})

    async def _speak_segment(self, words: list[Place]) -> None:
        start_ms = self._duration_ms
        for start, end in words:
            await self._hold.wait()
            word, _, code = self._text[start:end].strip(".").partition("-")
            match word:
                case "explode":
                    self._end({"type": "error", "code": code or "internal", "message": "internal", "final": True})
                    return
                case "refuse":
                    self.say("error", code=code or "text_limit", message="too much text waits", final=False)
                case "later":
                    self.say("viseme", shape="o")
                case "hangup":
                    await self._line.hang_up()
                case "snap":
                    self._line.cut()
                case "damage":
                    self._line.say({"type": "damage"})
                case _:
                    self._speak_word(start, end)
        times = {"start_ms": start_ms, "end_ms": self._duration_ms}
        start, end = words[0][0], words[-1][1]
        self.say("segment", text=self._text[start:end], start_char=start, end_char=end, **times)

    def _speak_word(self, start: int, end: int) -> None:
        at_ms, frames = self._duration_ms, len(self._heard)
        self._heard.append((start, end))
        text = self._text[start:end]
        place = {"text": text, "start_char": start, "end_char": end, "spoken": text}
        self.say("word", **place, start_ms=at_ms, end_ms=at_ms + FRAME_MS, estimated=True)
        self.say("audio", start_sample=frames * FRAME_SAMPLES, data=TONE if self._format == "pcm" else packet(frames))

    def _cancelled(self, played_ms: float) -> Message:
        heard = [end for n, (_, end) in enumerate(self._heard) if (n + 0.5) * FRAME_MS <= played_ms]
        chars = max(heard, default=0)
        return {
            "type": "cancelled", "duration_ms": self._duration_ms, "generated_ms": self._duration_ms + FRAME_MS,
            "heard_chars": chars, "heard_text": self._text[:chars], "unheard_text": self._text[chars:],
        }  # fmt: skip

    def _end(self, last: Message) -> None:
        self.over = True
        self.say(last.pop("type"), **last)
