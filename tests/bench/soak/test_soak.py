"""A short soak with the embedded voice, in the way of `make soak`, and what it says when something was kept."""

from collections import Counter
from dataclasses import replace

import pytest

from sayline_tts.bench.soak import soak
from sayline_tts.bench.soak.soak import Soak, Verdict, main
from sayline_tts.bench.soak.soak_client import Tally
from tests.bench.soak.test_resource_snapshot import BEFORE


async def test_strangers_leave_nothing_behind() -> None:
    verdict = await Soak(seconds=12.0, callers=8, seed=1, warm_up_s=8.0).run()
    assert verdict.passed, "\n".join(verdict.lines())
    assert len(verdict.tally.visits) >= 5
    assert verdict.tally.ends["done"] > 0
    assert verdict.tally.ends["cancelled"] > 0


def test_what_was_kept_is_pointed_at() -> None:
    verdict = Verdict(Tally(), BEFORE, replace(BEFORE, tasks=9))
    assert not verdict.passed
    assert "tasks                        4        9  <- kept" in verdict.lines()


def test_a_broken_promise_fails_it_too() -> None:
    verdict = Verdict(Tally(faults=Counter({"internal error": 2})), BEFORE, BEFORE)
    assert not verdict.passed
    assert "FAULT internal error: 2 times" in verdict.lines()


@pytest.mark.parametrize("passed", [True, False])
def test_the_shell_hears_how_it_went(
    passed: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(self: Soak) -> Verdict:
        assert self == Soak(60.0, 4, 7, ("--variant", "german"))
        return Verdict(Tally(visits=Counter(listen=3)), BEFORE, BEFORE if passed else replace(BEFORE, descriptors=9))

    monkeypatch.setattr(soak.Soak, "run", run)
    with pytest.raises(SystemExit) as ended:
        main(["--seconds", "60", "--callers", "4", "--seed", "7", "--", "--variant", "german"])
    assert ended.value.code == (not passed)
    assert "listen                       3" in capsys.readouterr().out
