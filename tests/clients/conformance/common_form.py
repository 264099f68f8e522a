"""The common text form of what clients report and the server receives, independent of the client's language."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tests.clients.tone import TONE, packet

Report = Mapping[str, Any]
MANY_CHARS = 60


def event_line(event: Report) -> str:
    return f"{event['seq']} {told(event)}"


def told(event: Report) -> str:
    match event["type"]:
        case "queued":
            return f"queued, place {event['place']}"
        case "frame":
            return f"frame at {event['start_ms']:g} ms: {sound(event)}"
        case "word":
            spoken = "" if event["spoken"] == event["text"] else f", said {quoted(event['spoken'])}"
            marks = [f", {mark}" for mark in ("estimated", "missed") if event.get(mark)]
            return f"word {timed(event)}{spoken}{''.join(marks)}"
        case "word_end":
            return f"word end {place(event)}"
        case "segment":
            return f"segment {timed(event)}"
        case "flushed":
            return f"flushed at {event['at_ms']:g} ms{named(event.get('id'))}"
        case "done":
            return f"done, {event['duration_ms']:g} ms"
        case "cancelled":
            times = f"{event['duration_ms']:g} of {event['generated_ms']:g} ms"
            texts = f"{quoted(event['heard_text'])} | {quoted(event['unheard_text'])}"
            return f"cancelled, {times}, {event['heard_chars']} chars: {texts}"
        case kind:
            return f"{kind}?"


def error_line(error: Report, urls: tuple[str, ...]) -> str:
    """Its kind and what a program is told, then its words."""
    more = [error.get("code"), error.get("close_code"), error.get("retry_after_ms")]
    facts = [error["kind"], *(f"{one:g}" if isinstance(one, float | int) else one for one in more if one is not None)]
    words = error["message"]
    for url in urls:
        words = words.replace(url, "URL")
    return f"! {' '.join(facts)}: {words}"


def message_line(message: Report) -> str:
    """What the server heard."""
    content = {name: value for name, value in message.items() if name not in ("type", "context_id")}
    match message["type"]:
        case "text":
            return f"text {quoted(message['text'])}"
        case "resume":
            return f"resume {message['token']} {json.dumps(message['contexts'], sort_keys=True)}"
        case kind:
            return f"{kind} {json.dumps(content, sort_keys=True)}" if content else kind


def ready_line(name: str, value: Any) -> str:
    match value:
        case list() | tuple():
            return f"{name}: {', '.join(value)}"
        case int() | float():
            return f"{name}: {value:g}"
        case _:
            return f"{name}: {value}"


def sound(event: Report) -> str:
    """Which of the scripted server's sounds it is."""
    number = round(event["start_ms"] / 80)
    known = {digest(TONE): "pcm", digest(packet(number)): f"packet {number}"}
    return known.get(event["sha1"], "a sound that nobody made")


def digest(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def timed(event: Report) -> str:
    return f"{quoted(event['text'])} {place(event)}"


def place(event: Report) -> str:
    return f"{event['start_char']}-{event['end_char']}, {event['start_ms']:g}-{event['end_ms']:g} ms"


def named(name: str | None) -> str:
    return "" if name is None else f": {name}"


def quoted(text: str) -> str:
    """A long one by its length."""
    return json.dumps(text, ensure_ascii=False) if len(text) <= MANY_CHARS else f"{len(text)} chars"
