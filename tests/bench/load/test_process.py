import os
import socket
import sys

import pytest

from sayline_tts.bench.load.process import Meter, Usage, cpu_s, pid_of_server, resident_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_the_process_that_listens_at_an_address_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        assert pid_of_server(url) == os.getpid()
    assert pid_of_server(url) is None


def test_a_server_elsewhere_is_not_looked_for() -> None:
    assert pid_of_server("ws://203.0.113.1:8000") is None


def test_our_own_process_uses_time_and_memory() -> None:
    assert (cpu_s(os.getpid()) or 0) > 0
    assert (resident_mb(os.getpid()) or 0) > 1


def test_what_is_not_known_stays_unknown() -> None:
    assert Usage(None, 2.0) - Usage(1.0, 0.5) == Usage(None, 1.5)
    assert Meter().read().server_cpu_s is None
    assert Meter().resident_mb() is None


def test_usage_is_the_difference_of_two_readings() -> None:
    assert Usage(3.0, 2.0) - Usage(1.0, 0.5) == Usage(2.0, 1.5)
