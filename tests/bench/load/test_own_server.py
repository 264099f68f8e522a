import sys

import pytest

from sayline_tts.bench.load.own_server import ServerFailed, own_server
from sayline_tts.bench.load.process import cpu_s, resident_mb

READY = "import sys; print('ready at http://127.0.0.1:4711 now'); "


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_server_is_ready_when_it_prints_its_address_and_is_stopped_on_exit() -> None:
    async with own_server(python(READY + "sys.stdin.read(); import time; time.sleep(3600)")) as server:
        assert server.url == "ws://127.0.0.1:4711"
        assert cpu_s(server.pid) is not None
        assert (resident_mb(server.pid) or 0) > 1
    assert cpu_s(server.pid) is None


async def test_output_before_an_early_exit_is_reported() -> None:
    with pytest.raises(ServerFailed, match="no such model"):
        async with own_server(python("raise SystemExit('no such model')")):
            pass


async def test_environment_is_inherited_and_extended() -> None:
    code = "import os; print('ready at http://127.0.0.1:' + os.environ['HERE']); import time; time.sleep(3600)"
    async with own_server(python(code), {"HERE": "7"}) as server:
        assert server.address == "127.0.0.1:7"


async def test_ready_pattern_can_be_chosen() -> None:
    code = "print('Uvicorn running on http://127.0.0.1:9 (Press CTRL+C)'); import time; time.sleep(3600)"
    async with own_server(python(code), ready=r"running on http://([\w.:]+)") as server:
        assert server.address == "127.0.0.1:9"
