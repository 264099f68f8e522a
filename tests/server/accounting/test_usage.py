import msgspec

from sayline_tts.server.accounting.usage import Usage, server_timing, usage_field

USAGE = Usage(taken_chars=34, billed_chars=12, generated_ms=1040, heard_ms=480.06, queued_ms=0.0)


def test_field_is_a_dictionary_of_numbers() -> None:
    usage = msgspec.structs.replace(USAGE, first_audio_ms=91.25)
    assert usage_field(usage) == (
        "taken-chars=34, billed-chars=12, generated-ms=1040, heard-ms=480.0, queued-ms=0.0, retries=0, "
        "first-audio-ms=91.2"
    )


def test_unknown_values_are_left_out() -> None:
    assert "first-audio" not in usage_field(USAGE)
    assert server_timing(0.0, None) == "queue;dur=0.0"
    assert server_timing(12.04, 91.25, 400) == "queue;dur=12.0, first-audio;dur=91.2, total;dur=400.0"
