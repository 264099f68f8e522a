"""The JavaScript client in a process, driven line by line."""

import asyncio
import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from sayline import Encoding

PROGRAM = Path(__file__).with_name("client.mjs")
MAX_LINE_BYTES = 2**24


class NodeClient:
    """Use with `async with`."""

    encoding = Encoding.JSON

    def __init__(self) -> None:
        self._context_numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> "NodeClient":
        self._process = await asyncio.create_subprocess_exec(
            "node", "--experimental-websocket", "--no-warnings", PROGRAM, stdin=-1, stdout=-1, limit=MAX_LINE_BYTES
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.close()
            await self._process.stdin.wait_closed()
        await self._reading
        assert await self._process.wait() == 0

    async def do(self, actor: str, verb: str, content: Any) -> Any:
        assert self._process.stdin is not None
        number = next(self._context_numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        step = {"id": number, "actor": actor, "verb": verb, "content": content}
        self._process.stdin.write(json.dumps(step).encode() + b"\n")
        return await self._answers[number]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            self._answers.pop(answer["id"]).set_result(answer["answer"])
        for waiting in self._answers.values():
            waiting.cancel()
