import io
import json

from rich.console import Console

from sayline_tts.bench.engine_times import EngineTimes, StepTime
from sayline_tts.bench.load.measurement import Measurement, Window
from sayline_tts.bench.load.memory import Memory
from sayline_tts.bench.load.process import CpuUsage
from sayline_tts.bench.load.texts import Texts
from sayline_tts.bench.report.report import CapacityResult, Report
from sayline_tts.bench.report.stats import Quantiles
from sayline_tts.bench.report.system_info import SystemInfo
from tests.bench.fakes import served

ENGINE = EngineTimes("m", "bfloat16", 1, 0.5, 0.25, (StepTime(1, 5.0, 3.0, 2.5), StepTime(16, 71.0, 30.0, 60.0),
                     StepTime(32, 90.0, 50.0, 80.0)), {1: 9.0}, 8.5, 1.02)  # fmt: skip


def seen(listeners: int, sent_ms: float = 0.0) -> Measurement:
    streams = [served([20.0, 90.0], sent_ms, number) for number in range(listeners)]
    return Measurement.of(streams, [], Window(0, 1000), listeners, CpuUsage(0.5, 0.01), [1.0])


def full_report() -> Report:
    report = Report("sayline bench", "2030-01-01", SystemInfo.here(), 100.0, "english", engine=ENGINE)
    report.texts = Texts(((2, 1.0),), 8.0, 15.0)
    report.start_s, report.alone_x = [2.5, 2.75], [9.0]
    report.idle_ttfa_ms = [Quantiles(20, 25, 26, 27, 30)]
    report.writer_ttfa_ms = {0: [Quantiles(8, 2100, 2600, 2700, 2700)], 2: [Quantiles(8, 390, 420, 430, 430)]}
    report.memory = Memory.of([(1, 100.0), (4, 112.0), (8, 120.0)])
    report.ramps = [
        CapacityResult(listeners, seen(listeners), (seen(listeners), seen(listeners + 1))) for listeners in (5, 7)
    ]
    report.poisson = [seen(4)]
    return report


def printed(report: Report) -> str:
    page = io.StringIO()
    report.print(Console(file=page, width=120))
    return page.getvalue()


def test_table_has_a_row_for_each_figure() -> None:
    page = printed(full_report())
    figures = (
        "CONCURRENT LISTENERS", "first audio p95", "longest stall", "gap between packets", "rejected", "maximum, MB",
        "CPU ms per second of audio", "load generator, cores busy", "POISSON ARRIVALS",
        "tokens a second, whole clauses", "tokens a second, 2 words ahead",
    )  # fmt: skip
    for line in figures:
        assert line in page


def test_table_shows_the_spread_over_runs() -> None:
    line = next(line for line in printed(full_report()).splitlines() if "CONCURRENT LISTENERS" in line)
    assert line.split()[-4:] == ["6", "5", "7", "2"]


def test_json_contains_machine_and_headline() -> None:
    content = json.loads(full_report().to_json())
    assert content["headline"]["listeners"] == {"median": 6.0, "least": 5, "most": 7, "runs": 2}
    assert content["headline"]["most_supplied"] == [6, 8]
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["torch"]
    assert content["engine"]["precision"] == "bfloat16"
    assert content["poisson"][0]["ttfa_ms"]["p95"] == 20


def test_unmeasured_figures_are_omitted() -> None:
    page = printed(Report("sayline bench", "2030-01-01", SystemInfo.here(), 100.0))
    assert "CONCURRENT LISTENERS" not in page
    assert "memory" not in page


def test_engine_times_round_trip_through_json() -> None:
    assert EngineTimes.from_json(json.loads(full_report().to_json())["engine"]) == ENGINE


def test_most_rows_leaves_a_tenth_of_the_frame() -> None:
    assert ENGINE.most_rows() == 16


def test_memory_is_the_mean_slope_and_the_steepest_slope() -> None:
    memory = Memory.of([(1, 100.0), (4, 112.0), (8, 120.0)])
    assert (memory.mean_mb, memory.most_mb) == (20 / 7, 4.0)
