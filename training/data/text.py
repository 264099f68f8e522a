"""Stage 1: the sentences that are spoken for training, one a line, as the model will be fed them.

    python -m training.data.text --out text --held-out held_out.txt

Everything goes through the engine's own reader, so that the model learns the spelling that it will see.
"""

import argparse
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from wordfreq import top_n_list, zipf_frequency

from sayline_tts.engine.text.chunk import Passage
from sayline_tts.engine.text.model_text import TextRules, prepare
from sayline_tts.engine.text.reader import Reader
from training.data import text_phrases, text_sources
from training.data.files import write_whole

SEED = 6
COMMON_WORDS = 20_000
MOST_WORDS, MOST_CHARACTERS = 16, 110
RAREST_ZIPF = 2.4  # a word that is rarer (one in four million) is a typing error or a name that flite cannot say either
# Abbreviations, letters alone, marks that stand alone: readers and synthesizers say them in ways of their own.
NOT_PLAIN = re.compile(r"\b[A-Z]{2,}\b|[.?!] |(?<= )[.,;:-]|\w[.]\w|(?<!')\b[B-HJ-Zb-hj-z]\b")
LONE_QUOTE = re.compile(r"(?<!\w)'|'(?!\w)")
SPEAKABLE = re.compile(r"[A-Za-z][A-Za-z ',.?!:;\"()-]*[.?!]")


def written_for_model(text: str) -> str | None:
    """One sentence as the engine feeds it to the model, numbers as words; None where it is not one utterance."""
    passages = [item for item in Reader(count_tokens=lambda _: 1).whole(text) if isinstance(item, Passage)]
    if len(passages) != 1 or not passages[0].words:
        return None
    return prepare(passages[0].spoken, TextRules())


def words_of(sentence: str) -> list[str]:
    """Bare words, for counting and comparing."""
    return re.sub(r"[^a-z' ]", " ", sentence.lower()).split()


def is_worth_speaking(sentence: str) -> bool:
    """Is it plain English of a length that one utterance has, of words that people use?"""
    if not SPEAKABLE.fullmatch(sentence) or len(sentence) > MOST_CHARACTERS:
        return False
    if not len(sentence.split()) <= MOST_WORDS or NOT_PLAIN.search(sentence):
        return False
    if (
        sentence.count('"') % 2
        or sentence.count("(") != sentence.count(")")
        or re.search(r"(?<!\w)'|'(?!\w)", sentence)
    ):
        return False
    return all(zipf_frequency(word, "en") >= RAREST_ZIPF for word in words_of(sentence))


class HeldOut:
    """Tells which sentences are too much like those that judge the model."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self._whole: set[tuple[str, ...]] = set()
        self._triples: Counter[tuple[str, ...]] = Counter()
        for sentence in sentences:
            words = words_of(sentence)
            self._whole.add(tuple(words))
            self._triples.update(set(_triples(words)))

    def resembles(self, sentence: str) -> bool:
        """The same words, or half of its runs of three words in common with the held-out ones."""
        words = words_of(sentence)
        triples = _triples(words)
        known = sum(triple in self._triples for triple in triples)
        return tuple(words) in self._whole or (len(triples) > 1 and known * 2 >= len(triples))


def gather(held_out: HeldOut, most_documentation: int, agent_phrases: int) -> list[str]:
    """All sentences, each once, in an order that is random and always the same."""
    chance = random.Random(SEED)
    common = [word for word in top_n_list("en", COMMON_WORDS) if re.fullmatch(r"[a-z]{2,}('[a-z]+)?|a|i", word)]
    documented = [text for text in dict.fromkeys(text_sources.documentation()) if len(text.split()) > 3]
    chance.shuffle(documented)
    sources = {
        "fortunes": text_sources.fortunes(),
        "documentation": documented,
        "short": text_phrases.short_answers(),
        "agents": text_phrases.agents(agent_phrases, chance),
        "words": text_phrases.of_words(common, chance),
    }
    kept: dict[str, str] = {}  # by its words, so that two that differ in marks only count once
    for name, source in sources.items():
        most = most_documentation if name == "documentation" else None
        before = len(kept)
        for text in _spoken(source):
            if not held_out.resembles(text):
                kept.setdefault(" ".join(words_of(text)), text)
            if most and len(kept) - before >= most:
                break
        print(f"{name}: {len(kept) - before} sentences", flush=True)
    sentences = list(kept.values())
    chance.shuffle(sentences)
    return sentences


def _spoken(source: Iterable[str]) -> Iterator[str]:
    for text in source:
        sentence = written_for_model(text) if len(text) < 2 * MOST_CHARACTERS else None
        if sentence and is_worth_speaking(sentence):
            yield sentence


def _triples(words: list[str]) -> list[tuple[str, ...]]:
    return list(zip(words, words[1:], words[2:], strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(description="Gather the sentences that training speaks.")
    parser.add_argument("--out", type=Path, required=True, help="folder for sentences.txt")
    parser.add_argument("--held-out", type=Path, required=True, help="sentences to keep out, one a line")
    parser.add_argument("--documentation", type=int, default=3500, help="at most so many sentences from docstrings")
    parser.add_argument("--agents", type=int, default=2500, help="so many phrases of voice agents are made up")
    options = parser.parse_args()
    held_out = HeldOut(options.held_out.read_text(encoding="utf-8").splitlines())
    sentences = gather(held_out, options.documentation, options.agents)
    options.out.mkdir(parents=True, exist_ok=True)
    write_whole(options.out / "sentences.txt", ("\n".join(sentences) + "\n").encode())
    print(f"{len(sentences)} sentences, {sum(len(s.split()) for s in sentences)} words in {options.out}/sentences.txt")


if __name__ == "__main__":
    main()
