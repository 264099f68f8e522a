"""SIGHUP: read the settings file again. TLS certificates and API keys need no signal: each use looks at their files."""

import logging

from sayline_tts.engine.errors import InputError
from sayline_tts.server import logs
from sayline_tts.server.settings import Settings

log = logging.getLogger(__name__)


class Reload:
    """Applies what may change while the server runs, which is the log level, and names what needs a restart."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

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
        if changed:
            log.warning("these settings have changed and need a restart: %s", ", ".join(changed))
        if old == new:
            log.info("the settings were read again and have not changed")
