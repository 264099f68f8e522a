"""The normalizer that leaves text as it is."""

import re
from collections.abc import Sequence

from sayline_tts.engine.text.normalization.protocol import RawWord

BLOCK_MARKER_PATTERN = r"[-*•–—]|#{1,6}|\(?(?:\d{1,3}|[A-Za-z])[.)]"
_BLOCK_MARKER = re.compile(BLOCK_MARKER_PATTERN)


class PassThrough:
    """A `Normalizer` that returns every word as it is written."""

    def verbalize(self, words: Sequence[RawWord], left_context: Sequence[RawWord]) -> list[str]:
        return [word.said or word.text for word in words]

    def respell(self, text: str) -> str:
        return text

    def interpret(self, text: str, kind: str, date_format: str) -> str:
        return text

    def needs_right_context(self, text: str) -> bool:
        return False

    def is_abbreviation(self, text: str) -> bool:
        return False

    def sentence_starts(self, text: str) -> Sequence[int]:
        return ()

    def joins_lines(self, text: str) -> bool:
        return False

    def phrase_rank(self, text: str) -> int:
        return 0

    def is_block_marker(self, text: str) -> bool:
        return _BLOCK_MARKER.fullmatch(text) is not None

    def is_table_delimiter(self, text: str) -> bool:
        return False

    def is_unsplittable(self, text: str) -> bool:
        return False
