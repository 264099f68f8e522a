import io

from rich.console import Console

from sayline_tts.bench.load.memory import Memory
from sayline_tts.bench.reference.reference import ServerResults
from sayline_tts.bench.reference.reference_report import print_ratios
from sayline_tts.bench.report.report import CapacityResult
from sayline_tts.bench.report.stats import Quantiles


def server_results(name: str, first_audio_at_ms: float, listeners: int) -> ServerResults:
    quantiles = Quantiles(first_audio_at_ms, first_audio_at_ms, first_audio_at_ms, first_audio_at_ms, 1)
    memory = Memory(((1, 100.0), (2, 105.0)), 5.0, 5.0)
    return ServerResults(name, [quantiles] * 2, [2.0, 4.0], [CapacityResult(listeners, None, ())], memory)


def test_both_servers_are_printed_with_their_ratio() -> None:
    page = io.StringIO()
    print_ratios(server_results("ours", 25, 30), server_results("theirs", 100, 3), Console(file=page, width=120))
    ratios = {line.split(",")[0].strip(): line.split()[-1] for line in page.getvalue().splitlines() if "," in line}
    assert ratios["first audio"] == "0.25"
    assert ratios["concurrent listeners"] == "10.00"
    assert ratios["single listener"] == "1.00"


def test_figure_missing_on_one_side_has_no_ratio() -> None:
    page = io.StringIO()
    print_ratios(server_results("ours", 25, 30), ServerResults("theirs"), Console(file=page, width=120))
    assert "0.25" not in page.getvalue()
    assert page.getvalue().count(" - ") >= 3
