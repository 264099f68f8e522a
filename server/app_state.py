"""The services that all sessions and requests of a server share."""

from dataclasses import dataclass

from sayline_tts.server.access.limits import Quotas
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.engine_loop import EngineLoop


@dataclass(frozen=True)
class AppState:
    engine_loop: EngineLoop
    settings: Settings
    quotas: Quotas
    metrics: Metrics
