"""The JavaScript client's own tests pass and cover every branch of the protocol modules."""

import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from tests.clients.test_readme import run

CLIENT = Path(__file__).parents[2] / "clients" / "js"
PROTOCOL = {
    "backoff.js", "connection.js", "context.js", "errors.js", "frame.js", "inbox.js", "sayline.js", "resend_buffer.js",
    "session.js", "transcript.js", "voices.js", "wire.js",
}  # fmt: skip
OPTIONS = ("--experimental-websocket", "--no-warnings", "--test", "--test-timeout=30000")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_javascript_tests_pass_and_cover_the_protocol(tmp_path: Path) -> None:
    report = tmp_path / "coverage"
    coverage = ("--experimental-test-coverage", "--test-reporter=lcov", f"--test-reporter-destination={report}")
    tests = sorted(str(path) for path in (CLIENT / "test").glob("*.test.js"))
    reporter = ("--test-reporter=spec", "--test-reporter-destination=stdout")
    code, out = await run("node", *OPTIONS, *coverage, *reporter, *tests, folder=CLIENT)
    assert code == 0, out
    uncovered = uncovered_lines(report.read_text("utf-8"))
    assert uncovered.keys() >= PROTOCOL
    assert {name: lines for name, lines in uncovered.items() if name in PROTOCOL and lines} == {}


def uncovered_lines(lcov: str) -> dict[str, set[int]]:
    """By file, the lines that never ran or have a branch that was never taken."""
    uncovered: dict[str, set[int]] = defaultdict(set)
    for line in lcov.splitlines():
        kind, _, facts = line.partition(":")
        if kind == "SF":
            lines = uncovered[facts]
        elif kind in ("DA", "BRDA") and facts.rpartition(",")[2] == "0":
            lines.add(int(facts.partition(",")[0]))
    return uncovered
