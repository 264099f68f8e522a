"""engine/text.py: whole texts, compared with the reference's own functions; and cleaning."""

import re
import sys
import unicodedata
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pocket_tts.models.text_chunking import prepare_text_prompt, split_into_best_sentences

from engine.config import Config, load_config
from engine.errors import ConfigError, TextError
from engine.text import TextRules, clean, frames_after_eos, prepare, printable, split
from engine.tokenizer import Tokenizer, load_tokenizer
from tests.engine.vocabularies import EMBEDDED, EMBEDDED_TOKENS, SENTENCES, write_as_json, write_tiny_model

PUBLISHED = sorted(
    (Path(str(each)) for each in files("pocket_tts.config").iterdir() if each.name.endswith(".yaml")),
    key=lambda path: path.name,
)
FLAGS = ("pad_short", "remove_semicolons", "append_terminal_punctuation", "capitalize_first_letter")

TEXTS = (
    "Hello",
    "hello there",
    "one two three four",
    "one two three four five",
    "It costs 3.14 euros. Or 3. 14? Or .5. 5",
    "Wait... what?! No... Yes!!! 1...2",
    'He said "Hi?", then left. “No.” ‘Why?’ she asked; (nobody knew).',
    '"Quoted"',
    "ends with a comma,",
    "ends with dashes — –-",
    "ends (in brackets, )",
    "  blanks   around\n\nand\r\nnew lines\t\ttabs  ",
    "a" * 300,
    "no mark at all " * 40,
    "first, second; third: fourth, " * 12,
    "Short one. " + "a long one without any mark " * 12 + ". Short again, " + "b, " * 50,
    "...",
    "—",
    "ß and ǆ",
    "日本語。テスト 3.14",
    "emoji 👍 here. ☃!",
    "A. B. C. D. E. F. G. " * 20,
    " ".join(SENTENCES) * 4,
    "\n".join(SENTENCES),
)


class Reference:
    """A tokenizer as the reference calls it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.decode = tokenizer.decode
        self._encode = tokenizer.encode

    def __call__(self, text: str) -> torch.Tensor:
        return torch.tensor(self._encode(text), dtype=torch.long)[None]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> list[Tokenizer]:
    folder = tmp_path_factory.mktemp("tokenizers")
    model, json = folder / "tokenizer.model", folder / "tokenizer.json"
    write_tiny_model(model)
    write_as_json(model, json)
    size = json.read_text().count('["') or 0
    with_size = re.compile(r"has (\d+)")
    found = []
    for path in (model, json):
        try:
            found.append(load_tokenizer(path, "sentencepiece", size))
        except Exception as error:
            match = with_size.search(str(error))
            assert match, error
            found.append(load_tokenizer(path, "sentencepiece", int(match[1])))
    return [load_tokenizer(EMBEDDED, "sentencepiece", EMBEDDED_TOKENS), *found]


def published_rules() -> list[TextRules]:
    distinct: list[TextRules] = []
    for path in PUBLISHED:
        rules = TextRules.of(load_config(path))
        if rules not in distinct:
            distinct.append(rules)
    return distinct


def as_reference(rules: TextRules) -> tuple[Any, ...]:
    return (*(getattr(rules, flag) for flag in FLAGS), dict(rules.replace_characters))


def assert_same(text: str, tokenizer: Tokenizer, rules: TextRules, max_tokens: int) -> None:
    arguments = as_reference(rules)
    try:
        prepared, frames = prepare_text_prompt(text, *arguments)
    except ValueError:
        for refuse in (
            lambda: prepare(text, rules),
            lambda: frames_after_eos(text, rules),
            lambda: split(text, tokenizer, rules),
        ):
            with pytest.raises(TextError):
                refuse()
        return
    assert prepare(text, rules) == prepared
    assert frames_after_eos(text, rules) == frames + 2
    pieces: Any = split_into_best_sentences(Reference(tokenizer), text, max_tokens, *arguments)  # type: ignore[arg-type]
    assert split(text, tokenizer, rules, max_tokens) == pieces
