"""Stage 1: collect the training sentences, one per line, in the form in which the model receives text.

    python -m training.data.text --out text --held-out held_out.txt

All text passes through the engine's text normalization, so the model is trained on the spelling that it will receive.
"""

import argparse
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from wordfreq import top_n_list, zipf_frequency

from sayline_tts.engine.checkpoint.atomic_write import atomic_write
from sayline_tts.engine.text.chunk import TextChunk
from sayline_tts.engine.text.model_text import TextRules, prepare
from sayline_tts.engine.text.reader import Reader
from training.data import text_phrases, text_shapes, text_sources

SEED = 6
COMMON_WORDS = 20_000
MAX_WORDS, MAX_CHARACTERS = 28, 160
MIN_ZIPF = 2.4  # rarer words (one in four million) are typing errors, or names that flite mispronounces
# Abbreviations, single letters and free-standing punctuation: synthesizers disagree on how to pronounce them.
NOT_PLAIN = re.compile(r"\b(?!OK\b)[A-Z]{2,}\b|[.?!] |(?<= )[.,;:-]|\w[.]\w|(?<!')\b[B-HJ-Zb-hj-z]\b")
LONE_QUOTE = re.compile(r"(?<!\w)'|'(?!\w)")
SPEAKABLE = re.compile(r"[A-Za-z][A-Za-z ',.?!:;\"()-]*[.?!]")


def normalize_for_model(text: str) -> str | None:
    """Normalize one sentence as the engine does, numbers as words; None if it is not exactly one utterance."""
    chunks = [item for item in Reader(count_tokens=lambda _: 1).push_phrase(text) if isinstance(item, TextChunk)]
    if len(chunks) != 1 or not chunks[0].words:
        return None
    return prepare(chunks[0].spoken, TextRules())


def words_of(sentence: str) -> list[str]:
    """Lower-case words without punctuation, for counting and comparing."""
    return re.sub(r"[^a-z' ]", " ", sentence.lower()).split()


def is_usable(sentence: str) -> bool:
    """Whether it is plain English of suitable length, made of common words."""
    if not SPEAKABLE.fullmatch(sentence) or len(sentence) > MAX_CHARACTERS:
        return False
    if not len(sentence.split()) <= MAX_WORDS or NOT_PLAIN.search(sentence):
        return False
    if sentence.count('"') % 2 or sentence.count("(") != sentence.count(")") or LONE_QUOTE.search(sentence):
        return False
    return all(zipf_frequency(word, "en") >= MIN_ZIPF for word in words_of(sentence))


class HeldOutFilter:
    """Detects sentences that are too similar to the evaluation sentences."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self._sentences: set[tuple[str, ...]] = set()
        self._trigrams: Counter[tuple[str, ...]] = Counter()
        for sentence in sentences:
            words = words_of(sentence)
            self._sentences.add(tuple(words))
            self._trigrams.update(set(_trigrams(words)))

    def resembles(self, sentence: str) -> bool:
        """Whether it has the same words, or at least half of its trigrams occur in held-out sentences."""
        words = words_of(sentence)
        trigrams = _trigrams(words)
        known = sum(trigram in self._trigrams for trigram in trigrams)
        return tuple(words) in self._sentences or (len(trigrams) > 1 and known * 2 >= len(trigrams))


def gather(held_out: HeldOutFilter, max_documentation: int, agent_phrases: int) -> list[str]:
    """All sentences, without duplicates, in a reproducible random order."""
    rng = random.Random(SEED)
    common = [word for word in top_n_list("en", COMMON_WORDS) if re.fullmatch(r"[a-z]{2,}('[a-z]+)?|a|i", word)]
    documented = [text for text in dict.fromkeys(text_sources.documentation()) if len(text.split()) > 3]
    rng.shuffle(documented)
    sources = {
        "fortunes": text_sources.fortunes(),
        "documentation": documented,
        "short": text_phrases.short_answers(),
        "short utterances": text_shapes.short_utterances(),
        "single words": text_shapes.single_words(rng.sample(common[:8000], 2000), rng),
        "similar clauses": text_shapes.similar_clauses(1500, rng),
        "word lists": text_shapes.word_lists(common[:4000], 700, rng),
        "agents": text_phrases.agent_phrases(agent_phrases, rng),
        "words": text_phrases.word_coverage_phrases(common, rng),
    }
    # By words, so that sentences that differ only in punctuation count once; except where the punctuation matters.
    kept: dict[str, str] = {}
    for name, source in sources.items():
        limit = max_documentation if name == "documentation" else None
        before = len(kept)
        for text in _usable_sentences(source):
            if not held_out.resembles(text):
                kept.setdefault(text if name == "short utterances" else " ".join(words_of(text)), text)
            if limit and len(kept) - before >= limit:
                break
        print(f"{name}: {len(kept) - before} sentences", flush=True)
    sentences = list(kept.values())
    rng.shuffle(sentences)
    return sentences


def _usable_sentences(source: Iterable[str]) -> Iterator[str]:
    for text in source:
        sentence = normalize_for_model(text) if len(text) < 2 * MAX_CHARACTERS else None
        if sentence and is_usable(sentence):
            yield sentence


def _trigrams(words: list[str]) -> list[tuple[str, ...]]:
    return list(zip(words, words[1:], words[2:], strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(description="Collect the sentences to train on.")
    parser.add_argument("--out", type=Path, required=True, help="folder for sentences.txt")
    parser.add_argument("--held-out", type=Path, required=True, help="file of sentences to exclude, one per line")
    parser.add_argument("--documentation", type=int, default=3500, help="maximum number of sentences from docstrings")
    parser.add_argument("--agents", type=int, default=2500, help="number of generated voice-agent phrases")
    options = parser.parse_args()
    held_out = HeldOutFilter(options.held_out.read_text(encoding="utf-8").splitlines())
    sentences = gather(held_out, options.documentation, options.agents)
    options.out.mkdir(parents=True, exist_ok=True)
    atomic_write(options.out / "sentences.txt", ("\n".join(sentences) + "\n").encode())
    print(f"{len(sentences)} sentences, {sum(len(s.split()) for s in sentences)} words in {options.out}/sentences.txt")


if __name__ == "__main__":
    main()
