"""A simulated caller: sends `telephone.py` what Twilio would send, and writes the received audio to a WAV file."""

import argparse
import asyncio
import base64
import json
import wave

from mu_law import RATE_HZ, decode
from websockets.asyncio.client import ClientConnection, connect

PACKET_S = 0.02


class Handset:
    """Plays in real time, and reports what it has played."""

    def __init__(self, socket: ClientConnection, file: wave.Wave_write) -> None:
        self._socket, self._file = socket, file
        self._waiting: asyncio.Queue[dict[str, dict[str, str]]] = asyncio.Queue()

    async def receive(self) -> None:
        async for message in self._socket:
            event = json.loads(message)
            if event["event"] == "clear":
                while not self._waiting.empty():
                    await self._send_mark(self._waiting.get_nowait())
            else:
                self._waiting.put_nowait(event)

    async def play(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            event = await self._waiting.get()
            if "media" in event:
                self._file.writeframes(decode(base64.b64decode(event["media"]["payload"])).tobytes())
                due_s = max(due_s + PACKET_S, loop.time())
                await asyncio.sleep(due_s - loop.time())
            await self._send_mark(event)

    async def press_a_key(self) -> None:
        await self._socket.send(json.dumps({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "1"}}))

    async def _send_mark(self, event: dict[str, dict[str, str]]) -> None:
        if "mark" in event:
            await self._socket.send(json.dumps({"event": "mark", "streamSid": "MZ1", "mark": event["mark"]}))


async def main() -> None:
    parser = argparse.ArgumentParser(description="A simulated caller.")
    parser.add_argument("file", help="WAV file to write")
    parser.add_argument("--url", default="ws://127.0.0.1:8080")
    parser.add_argument("--interrupt-after-s", type=float, default=6.0)
    parser.add_argument("--hang-up-after-s", type=float, default=12.0)
    arguments = parser.parse_args()
    with wave.open(arguments.file, "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        async with connect(arguments.url) as socket:
            await socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
            await socket.send(json.dumps({"event": "start", "streamSid": "MZ1", "start": {"callSid": "CA1"}}))
            handset = Handset(socket, file)
            tasks = [asyncio.create_task(handset.receive()), asyncio.create_task(handset.play())]
            await asyncio.sleep(arguments.interrupt_after_s)
            await handset.press_a_key()
            await asyncio.sleep(arguments.hang_up_after_s - arguments.interrupt_after_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
