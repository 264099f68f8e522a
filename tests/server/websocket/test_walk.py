"""How many calls lie between a `text` message and its first audio packet.

A call counts if one object makes it on another one, of a different class or module, in `server/websocket`,
`server/synthesis`, `engine/engine.py` or `engine/execution`; the socket's `send_bytes` ends the list. Every function
counts once. Not counted: calls within a class or module, properties, constructors, and coroutines that continue. The
inner parts of the reader, the scheduler, the model and the audio encoder are single steps, behind the calls that count.
"""

import asyncio
import inspect
import sys
from types import FrameType, ModuleType

import pytest
from aiohttp.web import WebSocketResponse

from sayline_tts.engine import engine as engine_module
from sayline_tts.engine import execution
from sayline_tts.server import synthesis, websocket
from sayline_tts.server.websocket.wire import parse
from tests.server.fakes import FakeEngine
from tests.server.stream_client import connected_client

MAX_CALLS = 28
ADMISSION_CALLS = 5  # more for the first text of a context: its stream begins, and its utterance goes to an engine
COUNTED: tuple[ModuleType, ...] = (websocket, synthesis, engine_module, execution)


class Walk:
    """A profile function that collects the calls from `parse` to `send_bytes` on this thread."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._ended = False

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if event != "call" or self._ended:
            return
        code = frame.f_code
        if self.calls and code is WebSocketResponse.send_bytes.__code__:
            self._ended = True
            self.calls.append(code.co_qualname)
        elif (self.calls or code is parse.__code__) and _counts(frame) and code.co_qualname not in self.calls:
            self.calls.append(code.co_qualname)


def _counts(frame: FrameType) -> bool:
    module, owner = _location(frame)
    if not any(module == counted.__name__ or module.startswith(f"{counted.__name__}.") for counted in COUNTED):
        return False
    if "<" in frame.f_code.co_qualname or frame.f_code.co_name in ("__init__", "_on_delayed_wake"):
        return False  # the latter is a timer that may fire on the way
    continues = frame.f_code.co_flags & inspect.CO_COROUTINE and frame.f_lineno > frame.f_code.co_firstlineno
    attribute = inspect.getattr_static(frame.f_globals.get(owner), frame.f_code.co_name, None)
    if continues or isinstance(attribute, property):
        return False
    caller_module, caller_owner = _location(frame.f_back) if frame.f_back else ("", "")
    return module != caller_module or (owner != caller_owner and owner != "")


def _location(frame: FrameType) -> tuple[str, str]:
    """Module, and the class or "" for a module's own functions."""
    qualified = frame.f_code.co_qualname.split(".")
    return str(frame.f_globals.get("__name__", "")), qualified[0] if len(qualified) > 1 else ""


@pytest.mark.parametrize("admitted", [True, False])
async def test_text_reaches_its_first_packet_in_few_calls(address: str, engine: FakeEngine, admitted: bool) -> None:
    if asyncio.get_running_loop().get_debug():
        pytest.skip("debug mode adds calls")
    walk = Walk()
    async with connected_client(address) as client:
        await client.speak("Hi.", "before")  # loads the voice
        await client.receive_until_final("before")
        await client.send("start")
        if admitted:
            await client.send("text", text="Hi. ")
            await client.receive_until("segment")
        await client.send("flush", "unknown")
        await client.receive_until("error")
        await asyncio.sleep(0.05)  # the context is open, and nothing is left to do
        sys.setprofile(walk)
        try:
            await client.send("text", text="Hello there. And ")
            await client.receive_until("audio")
        finally:
            sys.setprofile(None)
        await client.send("cancel")
        await client.receive_until("cancelled")
    assert {"Session.handle", "TextFeeder.push", "Engine.commit", "EventStream.on_frame"} < set(walk.calls)
    assert ("Engine.add" in walk.calls) is not admitted
    assert (walk.calls[0], walk.calls[-1]) == ("parse", "WebSocketResponse.send_bytes")
    assert len(walk.calls) <= MAX_CALLS + (0 if admitted else ADMISSION_CALLS), "\n".join(walk.calls)
