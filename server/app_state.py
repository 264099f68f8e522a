"""What all sessions of a server have in common."""

from dataclasses import dataclass

from sayline_tts.server.access.limits import Ledger
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import Worker


@dataclass(frozen=True)
class Shared:
    worker: Worker
    settings: Settings
    ledger: Ledger
    metrics: Metrics
