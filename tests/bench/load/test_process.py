import mmap
import os
import signal
import socket
import sys

import pytest

from sayline_tts.bench.load.process import CpuMeter, CpuUsage, cpu_s, pid_of_server, private_mb, resident_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_listening_process_is_found_by_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        assert pid_of_server(url) == os.getpid()
    assert pid_of_server(url) is None


def test_remote_server_has_no_pid() -> None:
    assert pid_of_server("ws://203.0.113.1:8000") is None


def test_own_cpu_and_memory_are_read() -> None:
    assert (cpu_s(os.getpid()) or 0) > 0
    assert (resident_mb(os.getpid()) or 0) > 1


def test_private_memory_leaves_out_what_others_share() -> None:
    """Memory shared with a child is private to neither; pages that it writes are private."""
    shared = mmap.mmap(-1, 64 * 2**20)
    before_mb = private_mb(os.getpid()) or 0
    shared.write(b"x" * len(shared))
    receiver, sender = os.pipe()
    if (child := os.fork()) == 0:
        sum(shared[::4096])
        os.write(sender, b"read")
        signal.pause()
    os.read(receiver, 4)
    both_mb = (private_mb(os.getpid()) or 0) - before_mb
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert both_mb < 40, "64 MB are shared by both"
    assert (private_mb(os.getpid()) or 0) - before_mb > 60, "and by one alone, afterwards"
    for descriptor in (receiver, sender):
        os.close(descriptor)


def test_unknown_usage_stays_unknown() -> None:
    assert CpuUsage(None, 2.0) - CpuUsage(1.0, 0.5) == CpuUsage(None, 1.5)
    assert CpuMeter().read().server_cpu_s is None
    assert CpuMeter().resident_mb() is None


def test_usage_is_the_difference_of_two_readings() -> None:
    assert CpuUsage(3.0, 2.0) - CpuUsage(1.0, 0.5) == CpuUsage(2.0, 1.5)
