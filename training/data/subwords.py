"""Text to the pieces that FlowLM reads, each with the word that it is of."""

from pathlib import Path

import sentencepiece

BLANK = "▁"
UNMERGED = 0.1  # of the merges that make pieces are left out where a text is cut in another way than the best


class PieceCutter:
    def __init__(self, path: Path) -> None:
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))

    @property
    def count(self) -> int:
        return int(self._pieces.vocab_size())

    def __call__(self, text: str, sample: bool) -> tuple[list[int], list[int]]:
        ids = list(self._pieces.encode(text, out_type=int, enable_sampling=sample, alpha=UNMERGED))
        words, word = [], -1
        for id in ids:
            word += self._pieces.id_to_piece(id).startswith(BLANK)
            words.append(max(word, 0))
        return ids, words
