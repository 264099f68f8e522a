"""`sayline voices`: who can speak. Nothing is loaded, and nobody is asked."""

import socket

import pytest

from sayline_tts.engine.checkpoint.catalogue import variant_names
from sayline_tts.engine.models.model import Model
from tests.server.commands.conftest import Sayline, mistake


@pytest.fixture(autouse=True)
def nothing_to_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was loaded or asked for")

    monkeypatch.setattr(Model, "load", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_without_a_variant_both_models_that_auto_may_take_are_listed(sayline: Sayline) -> None:
    listed = sayline("voices").stdout
    embedded, _, english = listed.partition("\nenglish\n")
    assert embedded.startswith("embedded\n")
    assert "clara (default), angus, fiona, ross" in embedded
    assert "cloning  works" in embedded
    assert "alba (default), cosette" in english
    assert "auto, which is what generate and serve take" in english


def test_another_language_has_another_default(sayline: Sayline) -> None:
    listed = sayline("voices", "--variant", "french").stdout
    assert listed.startswith("french\n  voices   estelle (default), ")
    assert "embedded" not in listed


def test_cloning_says_what_it_takes(sayline: Sayline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayline_tts.engine.checkpoint.resource.cached", lambda source: None)
    told = sayline("voices", "--variant", "german").stdout
    assert "accept the terms at https://huggingface.co/kyutai/pocket-tts" in " ".join(told.split())


def test_cloning_works_with_the_weights_at_hand(sayline: Sayline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayline_tts.engine.checkpoint.resource.cached", lambda source: source)
    assert "cloning  works" in sayline("voices", "--variant", "german").stdout


def test_an_unknown_variant_gets_suggestions(sayline: Sayline) -> None:
    assert "did you mean german" in mistake(sayline("voices", "--variant", "germna"))


def test_every_published_variant_is_listed_with_its_size(sayline: Sayline) -> None:
    rows = [line.split() for line in sayline("voices", "--variants").stdout.splitlines()]
    sizes = {row[0]: row[1:3] for row in rows if row and row[0] in variant_names()}
    assert set(sizes) == set(variant_names())
    assert sizes["english_7m_2026-10"] == ["English", "6.9"]
    assert sizes["italian_24l"] == ["Italian", "326.3"]
