import io

from rich.console import Console

from sayline_tts.bench.load.memory import Memory
from sayline_tts.bench.reference.reference import Side
from sayline_tts.bench.reference.reference_report import print_ratios
from sayline_tts.bench.report.report import Ramp
from sayline_tts.bench.report.stats import Quantiles


def side(name: str, first_ms: float, listeners: int) -> Side:
    quantiles = Quantiles(first_ms, first_ms, first_ms, first_ms, 1)
    memory = Memory(((1, 100.0), (2, 105.0)), 5.0, 5.0)
    return Side(name, [quantiles] * 2, [2.0, 4.0], [Ramp(listeners, None, ())], memory)


def test_both_servers_stand_beside_their_ratio() -> None:
    page = io.StringIO()
    print_ratios(side("ours", 25, 30), side("theirs", 100, 3), Console(file=page, width=120))
    ratios = {line.split(",")[0].strip(): line.split()[-1] for line in page.getvalue().splitlines() if "," in line}
    assert ratios["first audio"] == "0.25"
    assert ratios["most listeners"] == "10.00"
    assert ratios["one listener alone"] == "1.00"


def test_what_one_of_them_was_not_seen_to_do_has_no_ratio() -> None:
    page = io.StringIO()
    print_ratios(side("ours", 25, 30), Side("theirs"), Console(file=page, width=120))
    assert "0.25" not in page.getvalue()
    assert page.getvalue().count(" - ") >= 3
