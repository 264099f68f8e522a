"""The JavaScript client's own tests pass, and reach every branch of what speaks the protocol."""

import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from tests.clients.test_readme import run

CLIENT = Path(__file__).parents[2] / "clients" / "js"
PROTOCOL = {
    "backoff.js", "connection.js", "context.js", "errors.js", "frame.js", "inbox.js", "sayline.js", "sent.js",
    "session.js", "transcript.js", "wire.js",
}  # fmt: skip
OPTIONS = ("--experimental-websocket", "--no-warnings", "--test", "--test-timeout=30000")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_its_own_tests_pass_and_leave_no_branch_of_the_protocol_out(tmp_path: Path) -> None:
    found = tmp_path / "coverage"
    coverage = ("--experimental-test-coverage", "--test-reporter=lcov", f"--test-reporter-destination={found}")
    tests = sorted(str(path) for path in (CLIENT / "test").glob("*.test.js"))
    spoken = ("--test-reporter=spec", "--test-reporter-destination=stdout")
    code, out = await run("node", *OPTIONS, *coverage, *spoken, *tests, folder=CLIENT)
    assert code == 0, out
    left_out = lines_left_out(found.read_text("utf-8"))
    assert left_out.keys() >= PROTOCOL
    assert {name: lines for name, lines in left_out.items() if name in PROTOCOL and lines} == {}


def lines_left_out(lcov: str) -> dict[str, set[int]]:
    """By file, those that never ran or from which a branch was never taken."""
    left_out: dict[str, set[int]] = defaultdict(set)
    for line in lcov.splitlines():
        kind, _, facts = line.partition(":")
        if kind == "SF":
            lines = left_out[facts]
        elif kind in ("DA", "BRDA") and facts.rpartition(",")[2] == "0":
            lines.add(int(facts.partition(",")[0]))
    return left_out
