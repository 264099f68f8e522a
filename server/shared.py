"""What all sessions of a server have in common."""

from dataclasses import dataclass

from server.access.limits import Ledger
from server.metrics import Metrics
from server.settings import Settings
from server.speaking.worker import Worker


@dataclass(frozen=True)
class Shared:
    worker: Worker
    settings: Settings
    ledger: Ledger
    metrics: Metrics
