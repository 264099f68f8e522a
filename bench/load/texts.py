"""Texts of a known duration of speech. The duration of words is measured on the server, not assumed.

A model with random weights never signals the end of speech: it runs to a limit that depends on the number of tokens, so
the same words last differently with each tokenizer.
"""

import bisect
import random
from dataclasses import dataclass

from sayline_tts.bench.load.stream import Connect, ConnectionLost, Outcome, Request, Stream

_COMMON = (
    "the of and to in is you that it he was for on are as with his they be at one have this from or had by hot word "
    "but what some we can out other were all there when up use your how said an each she which do their time if will "
    "way about many then them write would like so these her long make thing see him two has look more day could go "
    "come did number sound no most people my over know water than call first who may down side been now find"
)
WORDS = _COMMON.split()
WORDS_PER_SENTENCE = 12
MEASURED_WORDS = (2, 4, 7, 12, 20, 34, 58)
MAX_LEAD_MS = 60_000.0  # effectively unlimited


@dataclass(frozen=True)
class Texts:
    """Texts that take `least_s` to `most_s` to speak. `measured`: pairs of word count and seconds."""

    measured: tuple[tuple[int, float], ...]
    least_s: float
    most_s: float

    @property
    def mean_s(self) -> float:
        return (self.least_s + self.most_s) / 2

    def draw(self, rng: random.Random) -> str:
        # Slightly inside the limits, because words vary in their number of tokens.
        inside_s = 0.05 * (self.least_s + self.most_s)
        return text(rng, self._words(rng.uniform(self.least_s + inside_s, self.most_s - inside_s)))

    def longest(self, rng: random.Random) -> str:
        return text(rng, self._words(self.most_s))

    def _words(self, seconds: float) -> int:
        """Interpolate between the measured lengths, or extrapolate from the last two."""
        known = self.measured
        if len(known) == 1:
            return max(1, round(known[0][0] * seconds / known[0][1]))
        right = min(max(bisect.bisect([took_s for _, took_s in known], seconds), 1), len(known) - 1)
        (less, less_s), (more, more_s) = known[right - 1], known[right]
        words = less + (more - less) * (seconds - less_s) / max(more_s - less_s, 0.001)
        return max(1, round(words))


async def measure_texts(connect: Connect, least_s: float, most_s: float) -> Texts:
    """Measure the duration of some texts. Raises `ConnectionLost`."""
    rng = random.Random(0)
    measured: list[tuple[int, float]] = []
    async with connect() as connection:
        for words in MEASURED_WORDS:
            stream = Stream(Request(text(rng, words), max_lead_ms=MAX_LEAD_MS), 0)
            await connection.speak(stream)
            if stream.outcome is not Outcome.SPOKEN:
                raise ConnectionLost(f"a text of {words} words was {stream.outcome.value}: {stream.error}")
            took_s = sum(stream.segments_ms or [stream.listener.received_ms]) / 1000
            if not measured or took_s > measured[-1][1]:
                measured.append((words, took_s))
            if took_s > most_s:
                break
    return Texts(tuple(measured), least_s, most_s)


def text(rng: random.Random, words: int) -> str:
    """Return random common words in sentences, without commas, at which the server would start early."""
    drawn = rng.choices(WORDS, k=words)
    sentences = [drawn[at : at + WORDS_PER_SENTENCE] for at in range(0, words, WORDS_PER_SENTENCE)]
    return " ".join(" ".join(sentence).capitalize() + "." for sentence in sentences)
