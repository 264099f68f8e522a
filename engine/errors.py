"""The mistakes a user can make. Each message says what is wrong and what to do about it.

Whatever is not an `InputError` is our own fault: it is logged with its traceback, and a peer hears "internal".
"""


class InputError(Exception):
    """Something from outside cannot be used. `code` is what programs read, the message is for people.

    `retry_after_ms`: the same has a chance when so much time has gone by. None: waiting does not help.
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
        """`retry_after_ms`: when there is likely to be room."""
        super().__init__(message)
        self.retry_after_ms = retry_after_ms
