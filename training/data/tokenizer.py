"""Text pieces for FlowLM: a small SentencePiece vocabulary, `python -m training.data.tokenizer`.

Small, because spelling has to be learnt as sound from few sentences; not single letters, because the server speaks at
most 50 pieces at once. Lower case, because how a letter is written does not change how it sounds.
"""

import argparse
import string
from pathlib import Path

import sentencepiece

PIECES = 320
MARKS = string.digits + string.punctuation


def train_tokenizer(sentences: list[str], path: Path, pieces: int = PIECES) -> None:
    """Write the `.model` file. Digits and marks are pieces of their own; other characters fall back to bytes of
    none: they are unknown, and the text that reaches the model has none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(path.with_suffix("")),
        model_type="bpe",
        vocab_size=pieces,
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of all stages")
    parser.add_argument("--pieces", type=int, default=PIECES)
    args = parser.parse_args()
    sentences = (args.work / "text/sentences.txt").read_text(encoding="utf-8").splitlines()
    path = args.work / "flow/tokenizer.model"
    train_tokenizer(sentences, path, args.pieces)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    tokens = sum(map(len, pieces.encode(sentences[:2000])))
    letters = sum(map(len, sentences[:2000]))
    print(f"{path}: {pieces.vocab_size()} pieces, {letters / tokens:.2f} letters each")


if __name__ == "__main__":
    main()
