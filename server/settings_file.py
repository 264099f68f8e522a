"""The file of `--settings-file`: `SAYLINE_` variables, in the format of systemd's `EnvironmentFile=`."""

import os
from pathlib import Path

from sayline_tts.engine.errors import InputError

VARIABLE = "SAYLINE_SETTINGS_FILE"
PREFIX = "SAYLINE_"


class SettingsFileError(InputError):
    code = "bad_setting"


def read(path: str | None) -> dict[str, str]:
    """Settings by name, without those that the environment overrides. `path` None: the one of `VARIABLE`, if any.

    Variables of other programs are ignored. Raises `SettingsFileError`.
    """
    path = path or os.environ.get(VARIABLE)
    if not path:
        return {}
    try:
        text = Path(path).expanduser().read_text("utf-8")
    except OSError as error:
        message = f"cannot read --settings-file {path} ({error.strerror}); check its path and owner"
        raise SettingsFileError(message) from None
    except UnicodeError:
        raise SettingsFileError(f"--settings-file {path} is not UTF-8; save it as UTF-8") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise SettingsFileError(f"--settings-file {path}, line {number} is not NAME=value; correct it")
        found[name.strip()] = _unquoted(value.strip())
    return {
        name.removeprefix(PREFIX).lower(): value
        for name, value in found.items()
        if name.startswith(PREFIX) and name not in os.environ
    }


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" else value
