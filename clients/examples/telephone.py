"""A telephone line that Sayline answers, over Twilio Media Streams or a compatible carrier: 8 kHz mu-law, 20 ms.

    pip install sayline-client numpy
    python telephone.py                      # listens on port 8080
    python caller.py heard.wav               # simulates a call: interrupts, and writes what it received

At Twilio, the number's TwiML is `<Response><Connect><Stream url="wss://your.name/"/></Connect></Response>`, with a TLS
proxy in front of this program. Speaking or pressing a key interrupts: the voice stops, and what was heard is known.
"""

import argparse
import asyncio
import base64
import json
from contextlib import suppress

import sayline
from mu_law import TelephoneEncoder, VoiceDetector
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PACKET_BYTES = 160  # 20 ms
ACK_MS = 1000
STORY = """Hello. I shall count for you, and you may interrupt me: say something, or press a key. One. Two. Three. Four.
Five. Six. Seven. Eight. Nine. Ten. That was all."""


class Call:
    """One call. The carrier reports the playback position by returning each mark when it has been played."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self._stream_id = ""
        self._detector = VoiceDetector()
        self._context_id = ""
        self._played_ms = 0.0
        self._played = asyncio.Condition()
        self.interrupted = asyncio.Event()

    async def start(self) -> None:
        """Wait for the start of the stream. Raises `ConnectionClosed` if the caller has hung up."""
        while not self._stream_id:
            event = json.loads(await self._socket.recv())
            self._stream_id = event.get("streamSid", "")

    async def listen(self) -> None:
        """Process events until the caller hangs up."""
        async for message in self._socket:
            match json.loads(message):
                case {"event": "mark", "mark": {"name": str(name)}}:
                    await self._note_played(*name.split())
                case {"event": "media", "media": {"payload": str(payload)}}:
                    if self._detector.speech_started(base64.b64decode(payload)):
                        self.interrupted.set()
                case {"event": "dtmf"}:
                    self.interrupted.set()
                case {"event": "stop"}:
                    return

    async def say(self, server: sayline.Session, text: sayline.Text) -> sayline.Cancelled:
        """Speak a text or a stream of text, and return what the caller heard."""
        self.interrupted.clear()
        async with server.context(format="pcm") as speech:
            self._context_id, self._played_ms = speech.context_id, 0.0
            speech.feed(text)
            playing = asyncio.create_task(self._play(speech))
            interrupting = asyncio.create_task(self.interrupted.wait())
            try:
                await asyncio.wait([playing, interrupting], return_when=asyncio.FIRST_COMPLETED)
            finally:
                completed = playing.done()
                playing.cancel()
                interrupting.cancel()
                await asyncio.wait([playing, interrupting])
            if completed:
                playing.result()
            else:
                self._context_id = ""  # the remaining marks return at once, unplayed
                await self._send({"event": "clear"})
            return await speech.cancel(self._played_ms)

    async def _play(self, speech: sayline.Context) -> None:
        encoder, sent_ms = TelephoneEncoder(speech.sample_rate_hz), 0.0
        reporting = asyncio.create_task(self._report(speech))
        try:
            async for event in speech:
                if isinstance(event, sayline.Frame):
                    await self._send_sound(encoder.encode(event.pcm))
                    sent_ms += len(event.pcm) / 2 / speech.sample_rate_hz * 1000
                    await self._send({"event": "mark", "mark": {"name": f"{speech.context_id} {sent_ms}"}})
            async with self._played:
                await self._played.wait_for(lambda: self._played_ms >= sent_ms)
        finally:
            reporting.cancel()

    async def _send_sound(self, sound: bytes) -> None:
        for at in range(0, len(sound), PACKET_BYTES):
            payload = base64.b64encode(sound[at : at + PACKET_BYTES]).decode()
            await self._send({"event": "media", "media": {"payload": payload}})

    async def _report(self, speech: sayline.Context) -> None:
        """Report the playback position, because the server does not know the carrier's delay."""
        acked_ms = 0.0
        with suppress(sayline.SaylineError):  # raised to the reader of the speech too
            while True:
                async with self._played:
                    while self._played_ms < acked_ms + ACK_MS:
                        await self._played.wait()
                acked_ms = self._played_ms
                await speech.ack(acked_ms)

    async def _note_played(self, context_id: str, ms: str) -> None:
        async with self._played:
            if context_id == self._context_id:
                self._played_ms = float(ms)
                self._played.notify_all()

    async def _send(self, event: dict[str, object]) -> None:
        await self._socket.send(json.dumps({**event, "streamSid": self._stream_id}))


async def talk(call: Call, server: sayline.Session) -> None:
    """Stands in for an LLM: it gets `heard_text` as its own last message, and continues."""
    text = STORY
    while True:
        heard = await call.say(server, text)
        await call.interrupted.wait()
        said = heard.heard_text.split(".")[-2:] if heard.unheard_text else ["all of it"]
        text = f"You heard me say: {'.'.join(said).strip()}. And now once more. {STORY}"


async def answer(socket: ServerConnection, url: str) -> None:
    """Handle one call until it ends."""
    call = Call(socket)
    try:
        await call.start()
        async with sayline.connect(url) as server:
            tasks = [asyncio.create_task(call.listen()), asyncio.create_task(talk(call, server))]
            done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            await asyncio.wait(tasks)
            for task in done:
                task.result()
    except sayline.SaylineError as error:
        print(f"speech failed: {error}")
    except ConnectionClosed:
        pass


async def main() -> None:
    parser = argparse.ArgumentParser(description="A telephone line that Sayline answers.")
    parser.add_argument("--server", default="ws://127.0.0.1:8000")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    async with serve(lambda socket: answer(socket, arguments.server), "127.0.0.1", arguments.port) as telephone:
        print(f"Waiting for calls at ws://127.0.0.1:{arguments.port}")
        await telephone.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
