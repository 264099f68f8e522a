"""Context states, and `docs/protocol.md`: it covers every message, field and close code, and existing settings only."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from sayline_tts.server.settings import Settings
from sayline_tts.server.websocket.messages import ClientMessage, ServerEvent
from sayline_tts.server.websocket.protocol import LEGAL_MOVES, CloseCode, ContextState

TEXT = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()


@pytest.mark.parametrize("state", ContextState)
def test_final_states_have_no_moves(state: ContextState) -> None:
    assert state.final == (not LEGAL_MOVES[state])
    assert all(not move.final or not LEGAL_MOVES[move] for move in LEGAL_MOVES[state])
    assert ContextState.OPEN not in LEGAL_MOVES[state]


@pytest.mark.parametrize("kind", [*get_args(ClientMessage), *get_args(ServerEvent)])
def test_every_message_and_field_is_documented(kind: Any) -> None:
    for name in (kind.__struct_config__.tag, *kind.__struct_fields__):
        assert re.search(rf"`(?:\w+\.)?{name}(?:: \w+)?`", TEXT), name


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_close_code_is_documented(code: CloseCode) -> None:
    assert f"| {code.value} |" in TEXT


def test_every_documented_setting_exists() -> None:
    for flag in re.findall(r"`--([a-z-]+)`", TEXT):
        assert flag.replace("-", "_") in Settings.model_fields
