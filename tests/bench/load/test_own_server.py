import sys

import pytest

from sayline_tts.bench.load.own_server import ServerFailed, own_server
from sayline_tts.bench.load.process import cpu_s, resident_mb

READY = "import sys; print('ready at http://127.0.0.1:4711 now'); "


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_it_is_ready_when_it_says_where_it_is_and_is_stopped_at_the_end() -> None:
    async with own_server(python(READY + "sys.stdin.read(); import time; time.sleep(3600)")) as server:
        assert server.url == "ws://127.0.0.1:4711"
        assert cpu_s(server.pid) is not None
        assert (resident_mb(server.pid) or 0) > 1
    assert cpu_s(server.pid) is None


async def test_what_it_said_before_it_died_is_told() -> None:
    with pytest.raises(ServerFailed, match="no such model"):
        async with own_server(python("raise SystemExit('no such model')")):
            pass


async def test_its_environment_is_ours_and_what_is_asked_for() -> None:
    code = "import os; print('ready at http://127.0.0.1:' + os.environ['HERE']); import time; time.sleep(3600)"
    async with own_server(python(code), {"HERE": "7"}) as server:
        assert server.address == "127.0.0.1:7"


async def test_another_server_may_say_it_otherwise() -> None:
    code = "print('Uvicorn running on http://127.0.0.1:9 (Press CTRL+C)'); import time; time.sleep(3600)"
    async with own_server(python(code), ready=r"running on http://([\w.:]+)") as server:
        assert server.address == "127.0.0.1:9"
