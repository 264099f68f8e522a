"""SIGHUP: read the settings file again. TLS certificates and API keys need no signal: each use looks at their files."""

import logging
from collections.abc import Callable
from typing import Any

from sayline_tts.engine.errors import InputError
from sayline_tts.server import logs
from sayline_tts.server.settings import Settings

log = logging.getLogger(__name__)


class Reload:
    """Applies what may change while the server runs, and names what needs a restart.

    `appliers`: for each setting of that kind besides the log level, what takes its new value.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.appliers: dict[str, Callable[[Any], None]] = {}

    def run(self) -> None:
        try:
            new = self._settings.read_again()
        except InputError as error:
            log.error("the settings were not read again: %s", error)
            return
        old, self._settings = self._settings, new
        changed = [name for name in Settings.model_fields if getattr(old, name) != getattr(new, name)]
        if "log_level" in changed:
            changed.remove("log_level")
            logs.set_level(new.log_level)
            log.log(logging.getLogger().level, "the log level is now %s", new.log_level)
        for name in [name for name in changed if name in self.appliers]:
            changed.remove(name)
            self.appliers[name](getattr(new, name))
            log.info("%s has been read again", name)
        if changed:
            log.warning("these settings have changed and need a restart: %s", ", ".join(changed))
        if old == new:
            log.info("the settings were read again and have not changed")
