"""Preparation of whole texts, compared with the reference's own functions; and cleaning."""

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

from sayline_tts.engine.checkpoint.config import Config, load_config
from sayline_tts.engine.errors import ConfigError, TextError
from sayline_tts.engine.text.model_text import (
    TextRules,
    clean,
    frames_after_eos,
    prepare,
    remove_control_characters,
    split,
)
from sayline_tts.engine.text.tokenizer import Tokenizer, load_tokenizer
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
    """Adapter that gives a tokenizer the reference's interface."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.decode = tokenizer.decode
        self._encode = tokenizer.encode

    def __call__(self, text: str) -> torch.Tensor:
        return torch.tensor(self._encode(text), dtype=torch.long)[None]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> list[Tokenizer]:
    folder = tmp_path_factory.mktemp("tokenizers")
    model, json = folder / "tokenizer.model", folder / "tokenizer.json"
    tokens = write_tiny_model(model)
    write_as_json(model, json)
    tiny = [load_tokenizer(path, "sentencepiece", tokens) for path in (model, json)]
    return [load_tokenizer(EMBEDDED, "sentencepiece", EMBEDDED_TOKENS), *tiny]


def published_rules() -> list[TextRules]:
    distinct: list[TextRules] = []
    for path in PUBLISHED:
        rules = TextRules.from_config(load_config(path))
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
        assert_rejected(text, tokenizer, rules)
        return
    assert prepare(text, rules) == prepared
    assert frames_after_eos(text, rules) == frames + 2
    reference: Any = Reference(tokenizer)
    assert split(text, tokenizer, rules, max_tokens) == split_into_best_sentences(
        reference, text, max_tokens, *arguments
    )


def assert_rejected(text: str, tokenizer: Tokenizer, rules: TextRules) -> None:
    with pytest.raises(TextError, match="nothing to say"):
        prepare(text, rules)
    with pytest.raises(TextError):
        frames_after_eos(text, rules)
    with pytest.raises(TextError):
        split(text, tokenizer, rules)


def test_published_configs_have_several_sets_of_rules() -> None:
    assert len(PUBLISHED) >= 24
    assert len(published_rules()) >= 5


@pytest.mark.parametrize("rules", published_rules(), ids=range(len(published_rules())))
@pytest.mark.parametrize("max_tokens", [50, 12])
def test_texts_are_prepared_and_split_like_the_reference(
    tokenizers: list[Tokenizer], rules: TextRules, max_tokens: int
) -> None:
    for tokenizer in tokenizers:
        for text in TEXTS:
            assert_same(text, tokenizer, rules, max_tokens)


WORDS = (
    *(
        "Hello",
        "there.",
        "3.14",
        "3.",
        "14",
        "5.5.5",
        "٣.٤",
        "...",
        "…",
        '"Hi?",',
        "she",
        "said;",
        "a,",
        "b:",
    ),
    *(
        "U.S.",
        "(foo)",
        "»",
        "-",
        "–",
        ";",
        ",",
        "!",
        "?!",
        "It's",
        "‘tis’",
        "é",
        "日本。",
        "antidisestablish",
    ),
    *("\n", "  ", "\t", "\r", "\u00a0"),
)
PLAUSIBLE_TEXT = st.builds(str.join, st.sampled_from([" ", "", "  "]), st.lists(st.sampled_from(WORDS), max_size=60))
ANY_RULES = st.builds(
    TextRules,
    **dict.fromkeys(FLAGS, st.booleans()),
    replace_characters=st.sampled_from([{}, {"’": "'", "‘": "'"}, {'"': "", "–": ","}, {"a": " ", "H": ""}]),
)


@settings(max_examples=150, deadline=None)
@given(
    text=PLAUSIBLE_TEXT | st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    rules=st.sampled_from(published_rules()) | ANY_RULES,
    max_tokens=st.integers(3, 60),
)
def test_any_text_is_prepared_and_split_like_the_reference(
    tokenizers: list[Tokenizer], text: str, rules: TextRules, max_tokens: int
) -> None:
    for tokenizer in tokenizers:
        assert_same(text, tokenizer, rules, max_tokens)


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u3000"])
def test_blank_text_is_rejected(tokenizers: list[Tokenizer], text: str) -> None:
    assert_rejected(text, tokenizers[0], TextRules())


def test_text_without_characters_after_replacement_is_rejected(tokenizers: list[Tokenizer]) -> None:
    assert_rejected('" "', tokenizers[0], TextRules(replace_characters={'"': ""}))


def test_split_decodes_each_token_a_few_times(tokenizers: list[Tokenizer]) -> None:
    tokenizer = tokenizers[0]

    class Counting:
        vocab_size = tokenizer.vocab_size
        decoded_tokens = 0

        def encode(self, text: str) -> list[int]:
            return tokenizer.encode(text)

        def decode(self, ids: list[int]) -> str:
            self.decoded_tokens += len(ids)
            return tokenizer.decode(ids)

        def has_token(self, char: str) -> bool:
            return tokenizer.has_token(char)

        def offsets(self, text: str) -> list[tuple[int, int]]:
            return tokenizer.offsets(text)

    counting = Counting()
    text = "It is now. Yes! Well..." * 5000
    chunks = split(text, counting, TextRules())
    assert "".join("".join(chunks).split()) == "".join(text.lower().split())
    assert counting.decoded_tokens < 10 * len(tokenizer.encode(text))


def test_rules_come_from_the_config() -> None:
    dutch = next(path for path in PUBLISHED if path.name == "dutch.yaml")
    published: dict[str, Any] = yaml.safe_load(dutch.read_text(encoding="utf-8"))
    rules = TextRules.from_config(load_config(dutch))
    assert rules.replace_characters == published["replace_characters"]
    assert rules.append_terminal_punctuation
    assert not rules.pad_short


def test_replacement_of_several_characters_is_rejected() -> None:
    config: Config = load_config(PUBLISHED[0]).model_copy(update={"replace_characters": {"ab": "c"}})
    with pytest.raises(ConfigError, match="'ab' must be a single character"):
        TextRules.from_config(config)


@pytest.mark.parametrize("text", [text for text in TEXTS if "👍" not in text and "\t" not in text])
def test_clean_keeps_ordinary_text(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\tb\rc\nd\u2028e", "a b c\nd\ne"),
        ("be\x00ll\x07\x1b", "bell"),
        ("\ud83d lone \udc4d", " lone "),
        ("zero\u200bwidth\u200d\ufeff so\u00adft", "zerowidth soft"),
        ("\ue000private\U0010fffd", "private"),
        ("cafe\u0301", "café"),
        ("Done 👍🏽. Family 👨‍👩‍👧! Heart ❤️, keycap 1️⃣, flag 🇫🇷.", "Done . Family ! Heart , keycap 1, flag ."),
        ("love😍😍it", "love it"),
        ("ok👍.", "ok."),
        ("❶ stays ☃goes", "❶ stays goes"),
        ("5 € ≈ 6 $ → №1 © ½ °C", "5 € ≈ 6 $ → №1 © ½ °C"),
        ("\x00\u200b👍", ""),
    ],
)
def test_clean_removes_unspeakable_characters(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_clean_keeps_letters_and_digits_and_removes_all_control_characters() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        remaining = remove_control_characters(char)
        if char.isalnum():
            assert clean(char), hex(code)
            assert remaining == char, hex(code)
        if unicodedata.category(char) in ("Cc", "Cs", "Co"):
            assert remaining in ("", " ", "\n"), hex(code)


def test_every_combining_mark_matches_the_pattern_of_mark_runs() -> None:
    marks = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    assert not re.search(r"[\w\s\x00-\x7f]", "".join(marks))


@given(st.text(st.characters()))
def test_clean_is_idempotent(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.text(), st.text())
def test_control_characters_can_be_removed_in_pieces(first: str, second: str) -> None:
    together = remove_control_characters(first + second)
    assert remove_control_characters(first) + remove_control_characters(second) == together


def test_long_mark_runs_are_truncated_before_nfc(monkeypatch: pytest.MonkeyPatch) -> None:
    run_lengths: list[int] = []
    normalize = unicodedata.normalize

    def recording(form: Any, text: str) -> str:
        run_lengths.extend(len(run) for run in re.findall("[\u0300-\u036f]+", text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", recording)
    assert clean("Zalgo" + "\u0301\u0323" * 500_000 + " he comes").endswith(" he comes")
    assert max(run_lengths) <= 30


@pytest.mark.parametrize("text", ["👍", "a👍", "\x00", "a", "—", "e\u0301", "\ud800"])
def test_clean_handles_a_megabyte(text: str) -> None:
    assert len(clean(text * (1_000_000 // len(text)))) <= 1_000_000
