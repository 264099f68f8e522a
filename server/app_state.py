"""The services that all sessions and requests of a server share."""

from dataclasses import dataclass, field

from sayline_tts.server.access.limits import Quotas
from sayline_tts.server.accounting.ledger import Ledger
from sayline_tts.server.lexicons.store import LexiconStore
from sayline_tts.server.metrics import Metrics
from sayline_tts.server.settings import Settings
from sayline_tts.server.synthesis.speech_engine import SpeechEngine
from sayline_tts.server.tracing import Tracing


@dataclass(frozen=True)
class AppState:
    engine_loop: SpeechEngine
    settings: Settings
    quotas: Quotas
    metrics: Metrics
    ledger: Ledger = field(default_factory=Ledger)
    tracing: Tracing = field(default_factory=Tracing)
    lexicons: LexiconStore = field(default_factory=LexiconStore)
