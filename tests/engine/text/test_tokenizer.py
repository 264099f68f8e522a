"""Both published tokenizer formats, and invalid files."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from sayline_tts.engine.errors import CheckpointError
from sayline_tts.engine.text.tokenizer import Tokenizer, load_tokenizer
from tests.engine.vocabularies import EMBEDDED, EMBEDDED_TOKENS, write_as_json, write_tiny_model

TEXTS = ("Hello there.", "It's 3.14, ok?", "  two  blanks ", "Yes, it is: go!", "über ☃ 日本", "")


@dataclass(frozen=True)
class Tiny:
    model: Path
    json: Path
    tokens: int

    def load(self, path: Path, kind: str = "sentencepiece") -> Tokenizer:
        return load_tokenizer(path, kind, self.tokens)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tokenizer")
    model, json = folder / "tokenizer.model", folder / "tokenizer.json"
    tokens = write_tiny_model(model)
    write_as_json(model, json)
    return Tiny(model, json, tokens)


def test_embedded_tokenizer_round_trip() -> None:
    tokenizer = load_tokenizer(EMBEDDED, "sentencepiece", EMBEDDED_TOKENS)
    ids = tokenizer.encode("Hello there, it is warm.")  # lower case, which is all the vocabulary has
    assert tokenizer.vocab_size == EMBEDDED_TOKENS
    assert all(type(each) is int and 0 <= each < EMBEDDED_TOKENS for each in ids)
    assert tokenizer.decode(ids) == "hello there, it is warm."


@pytest.mark.parametrize("text", TEXTS)
def test_json_tokenizer_agrees_with_its_model(tiny: Tiny, text: str) -> None:
    model, json = tiny.load(tiny.model), tiny.load(tiny.json, "tokenizers")
    assert json.vocab_size == model.vocab_size
    assert json.encode(text) == model.encode(text)
    assert json.decode(json.encode(text)) == model.decode(model.encode(text))


@pytest.mark.parametrize("kind", ["tokenizers", "json", "sentencepiece"])
def test_json_file_is_read_as_json_for_any_kind(tiny: Tiny, kind: str) -> None:
    assert tiny.load(tiny.json, kind).encode("Yes") == tiny.load(tiny.model).encode("Yes")


def test_json_tokenizer_may_have_any_file_name(tiny: Tiny, tmp_path: Path) -> None:
    blob = tmp_path / "0a1b2c"
    blob.write_bytes(tiny.json.read_bytes())
    assert tiny.load(blob, "tokenizers").encode("Yes") == tiny.load(tiny.json).encode("Yes")


def test_wrong_vocabulary_size_is_rejected_with_both_numbers() -> None:
    with pytest.raises(CheckpointError, match=rf"{EMBEDDED_TOKENS} tokens.*n_bins: 4000") as error:
        load_tokenizer(EMBEDDED, "sentencepiece", 4000)
    assert error.value.code == "bad_checkpoint"


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"\x00\x01garbage", b"{}", b'{"model": 3}', b"\xff" * 100])
def test_damaged_file_is_rejected(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.(model|json): "):
        load_tokenizer(path, "sentencepiece", EMBEDDED_TOKENS)


def test_truncated_file_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(EMBEDDED.read_bytes()[:5000])
    with pytest.raises(CheckpointError):
        load_tokenizer(path, "sentencepiece", EMBEDDED_TOKENS)


def test_file_of_the_other_kind_is_rejected(tiny: Tiny) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be read as a tokenizer\.json"):
        tiny.load(tiny.model, "json")


@pytest.mark.parametrize("name", ["missing.model", "."])
def test_missing_file_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="no such tokenizer file"):
        load_tokenizer(tmp_path / name, "sentencepiece", EMBEDDED_TOKENS)


def test_has_token_tells_known_characters_from_unknown_ones_in_both_formats(tiny: Tiny) -> None:
    for tokenizer in (tiny.load(tiny.model), tiny.load(tiny.json, "tokenizers")):
        assert tokenizer.has_token("e")
        assert not tokenizer.has_token("日")
    assert not load_tokenizer(EMBEDDED, "sentencepiece", EMBEDDED_TOKENS).has_token("Ж")
