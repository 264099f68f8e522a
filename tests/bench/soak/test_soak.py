"""A short soak test with the embedded model, and how leaks are reported."""

from collections import Counter
from dataclasses import replace

import pytest

from sayline_tts.bench.soak import soak
from sayline_tts.bench.soak.soak import Soak, Verdict, error_in, main
from sayline_tts.bench.soak.soak_client import SoakTally
from tests.bench.soak.test_resource_snapshot import BEFORE


@pytest.mark.slow
async def test_short_soak_leaks_nothing() -> None:
    verdict = await Soak(seconds=40.0, callers=8, seed=1, warm_up_s=8.0).run()
    assert verdict.passed, "\n".join(verdict.lines())
    assert len(verdict.tally.runs_by_scenario) >= 5
    assert verdict.tally.ends["done"] > 0
    assert verdict.tally.ends["cancelled"] > 0


def test_leaked_resource_is_marked() -> None:
    verdict = Verdict(SoakTally(), BEFORE, replace(BEFORE, tasks=9))
    assert not verdict.passed
    assert "tasks                        4        9  <- leaked" in verdict.lines()


def test_protocol_violation_fails_the_soak() -> None:
    verdict = Verdict(SoakTally(faults=Counter({"internal error": 2})), BEFORE, BEFORE)
    assert not verdict.passed
    assert "FAULT internal error: 2 times" in verdict.lines()


def test_error_that_the_server_logs_fails_the_soak() -> None:
    records = (
        '{"level": "error", "message": "a codec process died"}',
        '{"level": "warning", "message": "a client read nothing"}',
        "Sayline is ready",
        "[1, 2]",
        "Traceback (most recent call last):",
    )
    errors = Counter(message for line in records for message in error_in(line))
    verdict = Verdict(SoakTally(), BEFORE, BEFORE, errors)
    assert not verdict.passed
    assert "SERVER ERROR a codec process died: 1 times" in verdict.lines()
    assert len(errors) == 2


@pytest.mark.parametrize("passed", [True, False])
def test_exit_code_reflects_the_verdict(
    passed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(self: Soak) -> Verdict:
        assert self == Soak(60.0, 4, 7, ("--variant", "german"))
        return Verdict(
            SoakTally(runs_by_scenario=Counter(listen=3)), BEFORE, BEFORE if passed else replace(BEFORE, descriptors=9)
        )

    monkeypatch.setattr(soak.Soak, "run", run)
    with pytest.raises(SystemExit) as ended:
        main(["--seconds", "60", "--callers", "4", "--seed", "7", "--", "--variant", "german"])
    assert ended.value.code == (not passed)
    assert "listen                       3" in capsys.readouterr().out
