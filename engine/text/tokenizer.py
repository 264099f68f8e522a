"""Conversion of text to the token ids that a checkpoint was trained with, and back.

Reads SentencePiece's `.model` and the Hugging Face `tokenizer.json`, the two formats that checkpoints are published in.
"""

import re
from pathlib import Path
from typing import Protocol

import sentencepiece
import tokenizers

from sayline_tts.engine.errors import CheckpointError

_BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


class Tokenizer(Protocol):
    """Token ids are 0 to `vocab_size - 1`. `encode` adds no begin or end tokens."""

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...

    def has_token(self, char: str) -> bool:
        """Return whether a character has a token, of its own or with others; bytes do not count."""

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Return the start and end in `text` of each token that `encode` returns."""


class SentencePieceTokenizer:
    def __init__(self, path: Path) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))

    @property
    def vocab_size(self) -> int:
        return int(self._processor.vocab_size())

    def encode(self, text: str) -> list[int]:
        return list(self._processor.encode(text, out_type=int))

    def decode(self, ids: list[int]) -> str:
        return str(self._processor.decode(ids))

    def has_token(self, char: str) -> bool:
        ids = self.encode(char)
        return not any(self._processor.is_unknown(each) or self._processor.is_byte(each) for each in ids)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return list(self._processor.encode(text, return_type="offset_mapping")["offsets"])


class JsonTokenizer:
    def __init__(self, path: Path) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))

    @property
    def vocab_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)

    def decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids))

    def has_token(self, char: str) -> bool:
        encoded = self._tokenizer.encode(char)
        unknown = getattr(self._tokenizer.model, "unk_token", None) or "<unk>"
        return bool(encoded.tokens) and not any(
            token == unknown or _BYTE_TOKEN.fullmatch(token) for token in encoded.tokens
        )

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return list(self._tokenizer.encode(text).offsets)


def load_tokenizer(path: Path, kind: str, vocab_size: int) -> Tokenizer:
    """Read a tokenizer file.

    `kind` is the config's value ("sentencepiece", "tokenizers" or "json"); a `.json` file is read as JSON for any kind.
    Raises `CheckpointError` if the file cannot be read or does not have exactly `vocab_size` tokens.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such tokenizer file; check `tokenizer_path` in the model's config")
    as_json = kind in ("tokenizers", "json") or path.suffix == ".json"
    try:
        tokenizer: Tokenizer = JsonTokenizer(path) if as_json else SentencePieceTokenizer(path)
    except Exception as error:  # both libraries raise bare Exception or RuntimeError for a damaged file
        expected = "tokenizer.json" if as_json else "SentencePiece model"
        raise CheckpointError(
            f"{path}: cannot be read as a {expected} ({error});"
            f" it may be damaged or not of the kind {kind!r}, so download it again"
        ) from None
    if tokenizer.vocab_size != vocab_size:
        raise CheckpointError(
            f"{path}: has {tokenizer.vocab_size} tokens, but the model's config has n_bins: {vocab_size};"
            " use the tokenizer that was published with the weights"
        )
    return tokenizer
