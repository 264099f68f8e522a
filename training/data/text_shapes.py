"""Generated text of lengths that are rare in natural text: one or two words, and long lists of similar clauses."""

import random
import re
from collections.abc import Iterator, Sequence

ANSWERS = """
OK. | OK! | OK? | Yes! | No! | Yes? | No? | Hi! | Hello! | Hello? | Hey. | Hey! | Yeah. | Nope. | Yep. | True. |
False. | Correct. | Wrong. | Great. |
Great! | Good. | Fine. | Perfect. | Cool. | Nice. | Nice! | Wow! | Oh. | Oh! | Oh no! |
Please. | Please! | Wait. | Wait! | Stop! | Go. | Go! | Next. | Back. | Cancel. | Continue. | Repeat. | Help! | Mum. |
Sorry? | Pardon? | Pardon me. | Excuse me. | Thanks! | Thank you! | Cheers. | Congratulations! | Absolutely. | In. |
Certainly. | Definitely. | Possibly. | Probably. | Indeed. | Agreed. | Never. | Always. | Sometimes. | Today. |
Tomorrow. | Yesterday. | Here. | There. | Left. | Right. | Up. | Down. | On. | Off. | Out. | Yes, sir. | No, sir. |
OK, thanks. | OK, great. | OK, got it. | OK, one moment. | Uh, yes. | Well, no. | Oh, I see. | Oh, OK. | Yes, I do. |
No, I don't. | Yes, it is. | No, it isn't. | So what? | What now? | Which one? | How many? | How much? | Who's there? |
Says who? | Me too. | Not me.
"""
NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million first second third fourth fifth
sixth seventh eighth ninth tenth eleventh twelfth twentieth
"""
NAMES = """
Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April June July August September October
November December London Paris Boston Chicago Anna Peter Maria David Sarah Michael
"""
PATTERNS = (
    "it was a {adjective} {noun}", "it is the {noun} of {thing}", "{who} had {thing} before us", "{who} had no {noun}",
    "{who} saw the {noun}", "{who} would go to the {noun}", "there was {thing}", "there is a {adjective} {noun}",
    "{who} bought {thing} and {thing}", "some of {them} like {thing}", "one for {thing}", "no more {thing}",
    "{who} liked the {adjective} {noun}", "the {noun} was {adjective}", "the {noun} is never {adjective}",
    "{who} will need {thing}", "{who} can see a {noun}", "{who} never heard of {thing}", "{who} took the {noun}",
    "not the {noun}", "first {thing}", "then {thing}", "after the {noun}", "for every {noun}",
)  # fmt: skip
SLOTS = {
    "adjective": """
long short new old good bad warm cold quiet loud heavy light simple strange early late happy sad red green
""",
    "noun": """
day night season year house garden road river door window letter story song boat train table winter summer morning
evening city village question answer king queen doctor teacher
""",
    "thing": """
bread milk water wine music silence light darkness hope despair wisdom everything nothing paper glass stone wood apples
oranges flowers books money time weather rain snow sugar salt coffee tea
""",
    "who": "we they you I he she",
    "them": "them us you",
}
CLAUSES = range(3, 7)
LIST_WORDS = range(5, 13)


def short_utterances() -> Iterator[str]:
    """Short answers, numbers and names as complete utterances; some differ only in punctuation."""
    yield from (item.strip() for item in ANSWERS.split("|"))
    for mark in ".?":
        yield from (f"{word.capitalize()}{mark}" for word in (*NUMBERS.split(), *NAMES.split()))


def single_words(words: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Each word as an utterance of its own, then half as many random pairs."""
    for word in words:
        yield word.capitalize() + _end_mark(rng)
    for _ in range(len(words) // 2):
        one, other = rng.sample(words, 2)
        yield one.capitalize() + rng.choice((" ", ", ", " and ", " or ")) + other + _end_mark(rng)


def similar_clauses(count: int, rng: random.Random) -> Iterator[str]:
    """Sentences of clauses of one or two patterns, in which alignment is ambiguous."""
    for _ in range(count):
        patterns = rng.sample(PATTERNS, rng.choice((1, 1, 2)))
        who = rng.choice(SLOTS["who"].split())
        clauses = [_fill_slots(rng.choice(patterns), who, rng) for _ in range(rng.choice(CLAUSES))]
        joined = ", ".join(clauses[:-1]) + rng.choice((", ", ", and ", ", but ")) + clauses[-1]
        yield joined[0].upper() + joined[1:] + "."


def word_lists(words: Sequence[str], count: int, rng: random.Random) -> Iterator[str]:
    """Lists of words; every third is a list of numbers."""
    for index in range(count):
        items = rng.choices(NUMBERS.split() if index % 3 == 0 else words, k=rng.choice(LIST_WORDS))
        yield (", ".join(items[:-1]) + rng.choice((", ", ", and ", ", or ")) + items[-1]).capitalize() + "."


def _end_mark(rng: random.Random) -> str:
    return rng.choices(".!?", (6, 1, 1))[0]


def _fill_slots(pattern: str, who: str, rng: random.Random) -> str:
    """Fill a pattern with `who`, and with a random word in each other slot."""
    filled = pattern.replace("{who}", who)
    while found := re.search(r"\{(\w+)\}", filled):
        filled = filled.replace(found[0], rng.choice(SLOTS[found[1]].split()), 1)
    return re.sub(r"\ba (?=[aeiou])", "an ", filled)
