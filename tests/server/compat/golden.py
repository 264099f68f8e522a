"""Golden files of other vendors' protocols: conversations, each message with what the adapter makes of it.

`python -m tests.server.compat.golden FILE` writes what the adapters make now into the file, to be reviewed.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from sayline_tts.server.compat.adapter import Action, Adapter, GreetingAdapter, Open, Output
from sayline_tts.server.compat.cartesia import protocol as cartesia
from sayline_tts.server.compat.deepgram import flux_protocol as flux
from sayline_tts.server.compat.deepgram import protocol as deepgram
from sayline_tts.server.compat.elevenlabs import protocol as elevenlabs
from sayline_tts.server.compat.gradium import protocol as gradium
from sayline_tts.server.compat.jambonz import protocol as jambonz
from sayline_tts.server.compat.kyutai import protocol as kyutai
from sayline_tts.server.compat.livekit import protocol as livekit
from sayline_tts.server.compat.openai_realtime import protocol as realtime
from sayline_tts.server.compat.wyoming import protocol as wyoming
from sayline_tts.server.websocket import messages
from sayline_tts.server.websocket.outbox import CloseConnection, Frame
from sayline_tts.server.websocket.protocol import ProtocolError

FOLDER = Path(__file__).parents[2] / "wire"
EVENTS = {
    kind.__struct_config__.tag: kind
    for kind in (
        messages.Audio,
        messages.Word,
        messages.Segment,
        messages.Flushed,
        messages.Done,
        messages.Cancelled,
        messages.Error,
    )
}
PACKED = ("kyutai",)  # in MessagePack
Make = Callable[[dict[str, Any]], Adapter]
ADAPTERS: dict[str, Make] = {
    "elevenlabs/single": lambda options: elevenlabs.SingleStream(elevenlabs.Options("ann", **options)),
    "elevenlabs/multi": lambda options: elevenlabs.MultiStream(elevenlabs.Options("ann", **options)),
    "elevenlabs/dialogue": lambda options: elevenlabs.Dialogue(elevenlabs.Options("ann", **options)),
    "cartesia": lambda options: cartesia.CartesiaAdapter(),
    "deepgram/speak": lambda options: deepgram.SpeakAdapter(deepgram.Options("ann", **options)),
    "deepgram/flux": lambda options: flux.FluxAdapter(deepgram.Options("ann", **options)),
    "gradium": lambda options: gradium.GradiumAdapter("s", **options),
    "jambonz": lambda options: jambonz.JambonzAdapter(jambonz.Options("ann")),
    "kyutai": lambda options: kyutai.KyutaiAdapter(kyutai_options(**options)),
    "livekit": lambda options: livekit.InferenceAdapter("s"),
    "openai-realtime": lambda options: realtime.RealtimeAdapter("gpt-realtime", "sess_1"),
    "wyoming": lambda options: wyoming.WyomingAdapter(lambda: {"tts": [{"name": "sayline"}]}),
}


def kyutai_options(format: str = "PcmMessagePack") -> kyutai.Options:
    return kyutai.Options("ann", *kyutai.FORMATS[format])


def encode(adapter: str, message: Any) -> str | bytes:
    """A message as its clients write it."""
    if isinstance(message, str | bytes):
        return message
    return msgspec.msgpack.encode(message) if adapter in PACKED else json.dumps(message)


def load(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((FOLDER / name).read_text())
    return cases


def replay(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a case, with what the adapter makes of each message now."""
    adapter = ADAPTERS[case["adapter"]](case.get("options", {}))
    greeting = [{"greeting": None, "out": _plain(adapter.greet())}] if isinstance(adapter, GreetingAdapter) else []
    return greeting + [_step(case["adapter"], adapter, step) for step in case["steps"] if "greeting" not in step]


def _step(name: str, adapter: Adapter, step: dict[str, Any]) -> dict[str, Any]:
    if "event" in step:
        return {"event": step["event"], "out": _plain(adapter.send(_event(step["event"])))}
    said = step["client"]
    made: list[Action | Output] = []
    try:
        for action in adapter.receive(encode(name, said)):
            made.append(action)
    except ProtocolError as error:
        made += adapter.refuse(error)
    return {"client": said, "out": _plain(made)}


def _event(fields: dict[str, Any]) -> Any:
    """An event, whose fields have defaults."""
    given = dict(fields)
    kind = EVENTS[given.pop("type")]
    base: dict[str, Any] = {"seq": 0}
    match kind.__name__:
        case "Audio":
            base |= {"start_sample": 0}
            given["data"] = base64.b64decode(given["data"])
        case "Word":
            base |= {"spoken": given.get("text"), "estimated": True}
        case "Segment":
            base |= {"start_char": 0, "end_char": 0, "start_ms": 0.0, "end_ms": 0.0}
        case "Done":
            base |= {"duration_ms": 80.0}
        case "Cancelled":
            base |= dict.fromkeys(("duration_ms", "generated_ms"), 80.0)
            base |= {"heard_chars": 0, "heard_text": "", "unheard_text": ""}
        case "Error":
            base = {"final": True}
        case _:
            base |= {"at_ms": 80.0}
    return kind(**base | given)


def _binary(data: bytes) -> Any:
    if data[:1] in (b"\x81", b"\x82", b"\x84"):  # a map in MessagePack
        return {name: _short(value) for name, value in msgspec.msgpack.decode(data).items()}
    return _wyoming_event(data) if data.startswith(b"{") else base64.b64encode(data).decode()


def _short(value: Any) -> Any:
    """A long list as its ends and its length."""
    return [*value[:2], f"{len(value)} values", value[-1]] if isinstance(value, list) and len(value) > 9 else value


def _wyoming_event(data: bytes) -> dict[str, Any]:
    line, _, rest = data.partition(b"\n")
    header = json.loads(line)
    length = header.pop("data_length", 0)
    event = {**header, "data": json.loads(rest[:length])} if length else header
    payload = rest[length:]
    assert event.pop("payload_length", 0) == len(payload)
    return {**event, "payload": base64.b64encode(payload).decode()} if payload else event


def _plain(made: Iterable[Action | Output]) -> list[Any]:
    return [_plain_one(each) for each in made]


def _plain_one(made: Action | Output) -> Any:
    match made:
        case Frame(data=data):
            return {"message": json.loads(data) if isinstance(data, str) else _binary(data)}
        case CloseConnection(code=code):
            return {"close": int(code)}
        case Open(start=start, format=format):
            defaults = msgspec.to_builtins(messages.Start(""))
            fields = {name: value for name, value in msgspec.to_builtins(start).items() if defaults[name] != value}
            return {"open": fields, "format": f"{format.name}_{format.sample_rate_hz}"}
        case _:
            return msgspec.to_builtins(made)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        cases = [{**case, "steps": replay(case)} for case in load(name)]
        (FOLDER / name).write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")
