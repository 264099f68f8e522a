"""Text to the token ids a checkpoint was trained with, and back. Knows nothing of sentences or of the model.

Two formats are published: SentencePiece's `.model`, and the same vocabulary as a HuggingFace `tokenizer.json`.
"""

from pathlib import Path
from typing import Protocol

import sentencepiece
import tokenizers

from sayline_tts.engine.errors import CheckpointError


class Tokenizer(Protocol):
    """Ids run from 0 to `vocab_size - 1`. `encode` never adds begin or end tokens."""

    @property
    def vocab_size(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Of each token that `encode` gives: the characters of `text` that it stands for."""


class SentencePieceTokenizer:
    def __init__(self, path: Path) -> None:
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))

    @property
    def vocab_size(self) -> int:
        return int(self._pieces.vocab_size())

    def encode(self, text: str) -> list[int]:
        return list(self._pieces.encode(text, out_type=int))

    def decode(self, ids: list[int]) -> str:
        return str(self._pieces.decode(ids))

    def spans(self, text: str) -> list[tuple[int, int]]:
        return list(self._pieces.encode(text, return_type="offset_mapping")["offsets"])


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

    def spans(self, text: str) -> list[tuple[int, int]]:
        return list(self._tokenizer.encode(text).offsets)


def load_tokenizer(path: Path, kind: str, vocab_size: int) -> Tokenizer:
    """Read a tokenizer file.

    `kind` is the config's word ("sentencepiece", "tokenizers", "json"); a `.json` file is JSON in any case.
    Raises `CheckpointError` when the file cannot be read or does not have exactly `vocab_size` tokens.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such tokenizer file; check `tokenizer_path` in the model's config")
    as_json = kind in ("tokenizers", "json") or path.suffix == ".json"
    try:
        tokenizer: Tokenizer = JsonTokenizer(path) if as_json else SentencePieceTokenizer(path)
    except Exception as error:  # both libraries raise bare Exception or RuntimeError for a damaged file
        wanted = "tokenizer.json" if as_json else "SentencePiece model"
        raise CheckpointError(
            f"{path}: cannot be read as a {wanted}; is it damaged, or not of the kind {kind!r}? ({error})"
        ) from None
    if tokenizer.vocab_size != vocab_size:
        raise CheckpointError(
            f"{path}: has {tokenizer.vocab_size} tokens, but the model's config says n_bins: {vocab_size};"
            " take the tokenizer that was published with the weights"
        )
    return tokenizer
