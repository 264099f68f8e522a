"""Tokenizers for tests: the embedded model's, a tiny one trained on the spot, and that one as a `tokenizer.json`."""

from io import BytesIO
from pathlib import Path

import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

EMBEDDED = Path(__file__).parents[2] / "engine" / "checkpoint" / "embedded" / "tokenizer.model"
EMBEDDED_TOKENS = 320
_TINY_TOKENS = 320  # at most

SENTENCES = (
    "The little shop opens at nine, closes at five; it never opens on Sunday.",
    "Is this the way to the river? Yes, it is: go down the hill and turn left!",
    "He paid 3.14 for it in 2020, or was it 5.50? Nobody knows...",
    '"Come in," she said. "It\'s warm here (and dry)."',
    "Quick brown foxes jump over lazy dogs, while we watch them from the window.",
)


def write_tiny_model(path: Path) -> int:
    """Train a SentencePiece model with byte fallback. Returns the number of its tokens."""
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3),
        model_writer=model,
        vocab_size=_TINY_TOKENS,
        hard_vocab_limit=False,
        byte_fallback=True,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())
    return int(sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).vocab_size())


def write_as_json(model: Path, path: Path) -> None:
    """Write the same pieces and scores as a Hugging Face `tokenizer.json`."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    ids = range(pieces.vocab_size())
    tokenizer = tokenizers.Tokenizer(
        models.Unigram(
            [(pieces.id_to_piece(i), pieces.get_score(i)) for i in ids],
            unk_id=pieces.unk_id(),
            byte_fallback=any(pieces.is_byte(i) for i in ids),
        )
    )
    folded = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), folded, normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.save(str(path))
