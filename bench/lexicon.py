"""`python -m sayline_tts.bench.lexicon FILE`: what lexicons cost per character of a text, in CPU time."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from string import ascii_lowercase

from sayline_tts.engine.text.lexicon import Entry, Lexicon
from sayline_tts.engine.text.lexicon_matcher import LexiconMatcher
from sayline_tts.engine.text.normalization.normalizer import normalizer_for
from sayline_tts.engine.text.normalization.protocol import RawWord
from sayline_tts.engine.text.respeller import Respeller
from sayline_tts.engine.text.word_tokenizer import WordTokenizer

SIZES = (1, 100, 1_000, 10_000)
REPEATS = 5
SEED = 1


def entries(count: int, words: Sequence[str], random: Random) -> list[Entry]:
    """Names that are not in the text; a fifth of them are phrases that begin with a word of the text."""
    made = [f"{random.choice(words)} {_name(random)}" if i % 5 == 0 else _name(random) for i in range(count)]
    return [Entry(written, "respelled") for written in made]


def cost_us(words: Sequence[RawWord], chars: int, matcher: LexiconMatcher) -> float:
    """Return the least CPU time of several runs over the words, per character."""
    normalizer, costs_s = normalizer_for("en"), list[float]()
    for _ in range(REPEATS):
        start_s = time.process_time()
        respeller = Respeller(matcher, normalizer)
        for word in words:
            for _ in respeller.push(word):
                pass
        for _ in respeller.flush():
            pass
        costs_s.append(time.process_time() - start_s)
    return min(costs_s) / chars * 1e6


def main(path: Path) -> None:
    text, random = " ".join(path.read_text(encoding="utf-8").split()), Random(SEED)
    tokenizer = WordTokenizer(markdown=True, sentence_starts=lambda word: ())
    words = [word for word in (*tokenizer.push(text, 0), *tokenizer.end_word()) if word is not None]
    known = [word.text for word in words if word.text.isalpha()]
    for size in SIZES:
        matcher = LexiconMatcher([Lexicon(entries(size, known, random))])
        print(f"{size:6} entries: {cost_us(words, len(text), matcher):.2f} us a character")


def _name(random: Random) -> str:
    return "".join(random.choices(ascii_lowercase, k=random.randint(4, 9)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
