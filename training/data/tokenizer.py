"""Stage 4a: train the subword tokenizer of FlowLM, a small SentencePiece model; and use it to encode text.

    python -m training.data.tokenizer --work DIR

The vocabulary is small because the model has to learn pronunciation from few sentences. Single letters would be too
short: the server accepts at most 50 tokens per segment. Text is lower-cased, since case does not affect pronunciation.
"""

import argparse
import string
from pathlib import Path

import sentencepiece

VOCABULARY_SIZE = 320
MARKS = string.digits + string.punctuation
WORD_START = "▁"
BPE_DROPOUT = 0.1  # probability that a merge is skipped while sampling an alternative segmentation


class SubwordTokenizer:
    """Encode text to token ids, with the index of the word that each token belongs to."""

    def __init__(self, path: Path) -> None:
        self._model = sentencepiece.SentencePieceProcessor(model_file=str(path))

    @property
    def vocabulary_size(self) -> int:
        return int(self._model.vocab_size())

    def __call__(self, text: str, sample: bool) -> tuple[list[int], list[int]]:
        """Token ids and word indices; `sample`: a random segmentation (BPE dropout) instead of the best one."""
        ids = list(self._model.encode(text, out_type=int, enable_sampling=sample, alpha=BPE_DROPOUT))
        words, word = [], -1
        for id in ids:
            word += self._model.id_to_piece(id).startswith(WORD_START)
            words.append(max(word, 0))
        return ids, words


def train_tokenizer(sentences: list[str], path: Path, vocabulary_size: int = VOCABULARY_SIZE) -> None:
    """Train and write the `.model` file.

    Digits and punctuation marks are tokens of their own. There is no byte fallback: other characters are unknown, and
    text normalization removes them before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(path.with_suffix("")),
        model_type="bpe",
        vocab_size=vocabulary_size,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc_cf",
        user_defined_symbols=list(MARKS),
        max_sentencepiece_length=6,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    path.with_suffix(".vocab").unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the subword tokenizer.")
    parser.add_argument("--work", type=Path, required=True, help="folder shared by all stages")
    parser.add_argument("--pieces", type=int, default=VOCABULARY_SIZE, help="vocabulary size")
    args = parser.parse_args()
    sentences = (args.work / "text/sentences.txt").read_text(encoding="utf-8").splitlines()
    path = args.work / "flow/tokenizer.model"
    train_tokenizer(sentences, path, args.pieces)
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    tokens = sum(map(len, model.encode(sentences[:2000])))
    characters = sum(map(len, sentences[:2000]))
    print(f"{path}: {model.vocab_size()} tokens, {characters / tokens:.2f} characters each")


if __name__ == "__main__":
    main()
