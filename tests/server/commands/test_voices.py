"""`sayline voices`: lists voices and models without loading or connecting."""

import socket

import pytest

from sayline_tts.engine.checkpoint.catalogue import variant_names
from sayline_tts.engine.models.model import Model
from tests.server.commands.conftest import Sayline, usage_error


@pytest.fixture(autouse=True)
def nothing_to_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded or a connection made")

    monkeypatch.setattr(Model, "load", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_both_models_of_auto_are_listed_by_default(sayline: Sayline) -> None:
    listed = sayline("voices").stdout
    embedded, _, english = listed.partition("\nenglish\n")
    assert embedded.startswith("embedded\n")
    assert "clara (default), adam, nora, ross" in embedded
    assert "cloning  works" in embedded
    assert "alba (default), cosette" in english
    assert "Without --variant, generate and serve use english if" in english


def test_default_voice_depends_on_the_model(sayline: Sayline) -> None:
    listed = sayline("voices", "--variant", "french").stdout
    assert listed.startswith("french\n  voices   estelle (default), ")
    assert "embedded" not in listed


def test_missing_cloning_weights_are_explained(sayline: Sayline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayline_tts.engine.checkpoint.resource.cached_copy", lambda source: None)
    output = sayline("voices", "--variant", "german").stdout
    assert "accept the terms at https://huggingface.co/kyutai/pocket-tts" in " ".join(output.split())


def test_cloning_works_with_cached_weights(sayline: Sayline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayline_tts.engine.checkpoint.resource.cached_copy", lambda source: source)
    assert "cloning  works" in sayline("voices", "--variant", "german").stdout


def test_unknown_variant_gets_suggestions(sayline: Sayline) -> None:
    assert "did you mean german" in usage_error(sayline("voices", "--variant", "germna"))


def test_all_published_variants_are_listed_with_sizes(sayline: Sayline) -> None:
    rows = [line.split() for line in sayline("voices", "--variants").stdout.splitlines()]
    sizes = {row[0]: row[1:3] for row in rows if row and row[0] in variant_names()}
    assert set(sizes) == set(variant_names())
    assert sizes["english_7m_2026-10"] == ["English", "6.9"]
    assert sizes["italian_24l"] == ["Italian", "326.3"]
