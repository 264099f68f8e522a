"""Errors that a user can cause. Each message says what happened and what to do about it.

Anything that is not an `InputError` is a fault of the program: it is logged with its traceback, and a client receives
"internal".
"""


class InputError(Exception):
    """Input from outside that cannot be used. Programs read `code`, people read the message.

    `retry_after_ms`: after this time the same request may succeed. None: waiting does not help.
    """

    code = "invalid"
    retry_after_ms: float | None = None


class ConfigError(InputError):
    code = "bad_config"


class CheckpointError(InputError):
    code = "bad_checkpoint"


class HubError(InputError):
    code = "hub_unreachable"


class HubGated(HubError):
    code = "hub_gated"


class UnknownVariant(InputError):
    code = "unknown_variant"


class VoiceError(InputError):
    code = "bad_voice"


class UnknownVoice(VoiceError):
    code = "unknown_voice"


class TextError(InputError):
    code = "bad_text"


class Full(InputError):
    code = "full"
    retry_after_ms: float

    def __init__(self, message: str, retry_after_ms: float) -> None:
        """`retry_after_ms`: estimate of when there will be room."""
        super().__init__(message)
        self.retry_after_ms = retry_after_ms
