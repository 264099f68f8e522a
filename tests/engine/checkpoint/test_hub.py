"""Names of files on the hub. Downloads are tested with resources."""

import pytest

from sayline_tts.engine.checkpoint.hub import HubFile
from sayline_tts.engine.checkpoint.resource import fetch
from sayline_tts.engine.errors import InputError


def test_hub_source_parses_and_formats() -> None:
    assert HubFile.parse("hf://kyutai/voices/a/b.wav@main") == HubFile("kyutai/voices", "a/b.wav", "main")
    assert HubFile.parse("hf://kyutai/voices/b.wav") == HubFile("kyutai/voices", "b.wav", None)
    assert str(HubFile("kyutai/voices", "a/b.wav", "main")) == "hf://kyutai/voices/a/b.wav@main"
    assert str(HubFile("kyutai/voices", "b.wav", None)) == "hf://kyutai/voices/b.wav"


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://kyutai",
        "hf://kyutai/voices",
        "hf://kyutai/voices@main",
        "hf://kyutai/--voices--/a.wav",
        "hf://kyutai/voices/../../secret.wav",
        "hf://kyutai/voices/a.wav@../../main",
    ],
)
def test_malformed_hub_source_is_rejected(text: str) -> None:
    with pytest.raises(InputError, match="write it as hf://"):
        fetch(text)


def test_hub_file_has_a_url() -> None:
    assert HubFile.parse("hf://kyutai/voices/a/b.wav@main").url.endswith("/kyutai/voices/resolve/main/a/b.wav")
