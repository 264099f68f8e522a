import pytest
from sayline import errors


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("full", errors.Full),
        ("rate_limited", errors.Limited),
        ("slow_consumer", errors.SlowConsumer),
        ("unknown_voice", errors.UnknownVoice),
        ("of a later server", errors.ContextFailed),
    ],
)
def test_error_codes_map_to_exceptions(code: str, kind: type[errors.ContextFailed]) -> None:
    error = errors.context_failed(code, "what to do", 1500)
    assert type(error) is kind
    assert (error.code, str(error), error.retry_after_ms) == (code, "what to do", 1500)
