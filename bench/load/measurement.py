"""Figures of a set of streams within a time window."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sayline_tts.bench.load.listener import Stall
from sayline_tts.bench.load.process import CpuUsage
from sayline_tts.bench.load.stream import Outcome, Stream
from sayline_tts.bench.report.stats import Quantiles, percentile


@dataclass(frozen=True, slots=True)
class Window:
    start_ms: float
    end_ms: float

    def __contains__(self, at_ms: float | None) -> bool:
        return at_ms is not None and self.start_ms <= at_ms < self.end_ms

    def overlaps(self, stall: Stall) -> bool:
        return stall.at_ms < self.end_ms and stall.at_ms + stall.length_ms > self.start_ms

    @property
    def seconds(self) -> float:
        return (self.end_ms - self.start_ms) / 1000


@dataclass(frozen=True, slots=True)
class Measurement:
    """`listeners`: the intended number, on average.

    `gap_ms_p99`: time between two packets of a stream (80 is real time; a server that runs ahead sends in bursts).
    `margin_ms_p01`: audio left to play when the next packet arrived; 1 % of packets had less. Rejected streams count
    in `rejects` only.
    """

    listeners: float
    seconds: float
    streams: int
    audio_s: float
    text_s: tuple[float, float, float] | None  # minimum, mean and maximum duration of a text
    ttfa_ms: Quantiles | None
    unanswered: int
    served: int  # listeners that received audio
    without_underrun: int
    underruns: int
    longest_stall_ms: float
    gap_ms_p99: float | None
    margin_ms_p01: float | None
    rejects: int
    errors: dict[str, int]
    server_cpu_ms_per_audio_s: float | None
    server_cores: float | None  # cores busy on average
    generator_cores: float
    generator_lag_ms_p99: float | None

    @classmethod
    def of(
        cls,
        streams: Sequence[Stream],
        refusals: Sequence[str],
        window: Window,
        listeners: float,
        used: CpuUsage,
        lags_ms: Sequence[float],
    ) -> "Measurement":
        asked = [s for s in streams if s.sent_ms in window and s.outcome is not Outcome.REJECTED]
        served = [s for s in streams if any(at_ms in window for at_ms in s.listener.arrivals_ms)]
        stalls = {s: [stall for stall in s.listener.stalls if window.overlaps(stall)] for s in streams}
        dry = {s.listener_number for s in streams if stalls[s]}
        audio_s = sum(_audio_s(s, window) for s in served)
        rejects = [s for s in streams if s.outcome is Outcome.REJECTED and s.sent_ms in window]
        errors = Counter([s.error for s in streams if s.outcome is Outcome.FAILED] + list(refusals))
        server_cpu_s = used.server_cpu_s
        gaps_ms, margins_ms = _between(served, window)
        return cls(
            listeners=listeners,
            seconds=window.seconds,
            streams=len(asked),
            audio_s=audio_s,
            text_s=_text_s(streams),
            ttfa_ms=Quantiles.of([_ttfa_ms(s, window) for s in asked]),
            unanswered=sum(s.first_audio_at_ms is None for s in asked),
            served=len({s.listener_number for s in served}),
            without_underrun=len({s.listener_number for s in served} - dry),
            underruns=sum(map(len, stalls.values())),
            longest_stall_ms=max((stall.length_ms for found in stalls.values() for stall in found), default=0.0),
            gap_ms_p99=percentile(gaps_ms, 99),
            margin_ms_p01=percentile(margins_ms, 1),
            rejects=len(rejects),
            errors=dict(errors),
            server_cpu_ms_per_audio_s=1000 * server_cpu_s / audio_s if server_cpu_s is not None and audio_s else None,
            server_cores=None if server_cpu_s is None else server_cpu_s / window.seconds,
            generator_cores=used.own_cpu_s / window.seconds,
            generator_lag_ms_p99=percentile(lags_ms, 99),
        )

    def holds(self, ttfa_target_ms: float) -> bool:
        """Return whether all listeners were supplied and the 95th percentile of first audio met the target."""
        return self.supplied and (self.ttfa_ms is None or self.ttfa_ms.p95 <= ttfa_target_ms)

    @property
    def supplied(self) -> bool:
        """No underrun, rejection or error."""
        return self.served > 0 and not (self.underruns or self.rejects or self.errors or self.unanswered)

    def summary(self) -> str:
        first = f"first audio p95 {self.ttfa_ms.p95:.0f} ms" if self.ttfa_ms else "no text started"
        parts = [first, f"{self.underruns} underruns"]
        parts += [f"longest {self.longest_stall_ms:.0f} ms"] if self.underruns else []
        parts += [f"{self.rejects} rejected"] if self.rejects else []
        parts += [f"errors: {', '.join(self.errors)}"] if self.errors else []
        return ", ".join(parts)


def _ttfa_ms(stream: Stream, window: Window) -> float:
    """Time to first audio; without any, the time waited for it."""
    if stream.ttfa_ms is not None:
        return stream.ttfa_ms
    assert stream.sent_ms is not None
    return window.end_ms - stream.sent_ms


def _audio_s(stream: Stream, window: Window) -> float:
    arrivals_ms = stream.listener.arrivals_ms
    share = sum(at_ms in window for at_ms in arrivals_ms) / len(arrivals_ms)
    return stream.listener.received_ms / 1000 * share


def _text_s(streams: Sequence[Stream]) -> tuple[float, float, float] | None:
    lengths_s = [s.listener.received_ms / 1000 for s in streams if s.outcome is Outcome.SPOKEN]
    return (min(lengths_s), sum(lengths_s) / len(lengths_s), max(lengths_s)) if lengths_s else None


def _between(streams: Sequence[Stream], window: Window) -> tuple[list[float], list[float]]:
    gaps_ms: list[float] = []
    margins_ms: list[float] = []
    for stream in streams:
        arrivals_ms = stream.listener.arrivals_ms
        for before_ms, at_ms, margin_ms in zip(arrivals_ms, arrivals_ms[1:], stream.listener.margins_ms, strict=False):
            if at_ms in window:
                gaps_ms.append(at_ms - before_ms)
                margins_ms.append(margin_ms)
    return gaps_ms, margins_ms
