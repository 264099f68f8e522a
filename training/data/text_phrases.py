"""Generated text for what natural sentences lack: rare words, numbers, short answers, voice-agent phrases."""

import random
import re
from collections.abc import Iterator, Sequence

SHORT = """
Yes. | No. | Sure. | Of course. | Okay. | All right. | Thank you. | Thanks. | You're welcome. | Hello. | Hi. |
Hi there. |
Good morning. | Good afternoon. | Good evening. | Good night. | Goodbye. | Bye. | Please wait. | One moment. |
Sorry. |
Yes, please. | No, thank you. | Sure, one moment. | Right. | Exactly. | Not yet. | Maybe. | I think so. |
I don't know. |
I see. | Got it. | Done. | Never mind. | Not at all. | Why? | When? | Who? | Where? | How? | What? | Really? |
Is it? |
Welcome. | Welcome back. | Well done. | Go ahead. | Come in. | Help. | Stop. | Start. | Again. | Later. | Now. |
Soon. |
See you soon. | See you tomorrow. | Take care. | Have a nice day. | Let me see. | Let me check. | Here you are. |
That's right. | That's wrong. | That's fine. | It depends. | I agree. | I'm here. | I'm sorry. | I'm not sure. |
Are you there? | Can you hear me? | How are you? | What's next? | Anything else? | Is that all? | Ready? | Listen.
"""

OFFERS = [
    "Would you like me to {do}?", "Shall I {do}?", "I can {do} for you.", "Do you want to {do}?", "Let me {do}.",
    "Please wait while I {do}.", "I'm sorry, I cannot {do} right now.", "Could you {do}, please?",
    "I will {do} {when}.",
    "You can {do} {when}.", "Sure, I'll {do} {when}.", "Would it help if I {do}?",
    "Before we {do}, may I ask a question?",
    "It takes {number} minutes to {do}.", "We {do} every {day}.", "Thank you, now I can {do}.",
]  # fmt: skip
TASKS = """
book a table for {number} | cancel your order | send you a message | call you back | check the weather |
play some music |
turn off the lights | set a timer for {number} minutes | read your messages | find a hotel near {place} |
open the door |
change your password | transfer the call | speak to a person | check your account | renew your subscription |
buy two tickets to {place} | look for a flight to {place} | write that down | repeat the question | pay the bill |
schedule a meeting on {day} | move the meeting to {day} | remind you on {day} | add milk and eggs to the list |
update your address | track the package | return the shoes | start the washing machine | warm up the house |
translate this sentence | tell you a story | explain how it works | spell your name | confirm the appointment |
choose another color | try again | answer the phone | send the report | print the document | save the changes
"""
STATEMENTS = [
    "Your order number is {digits}.", "Your code is {digits}.", "The total is {amount} dollars.", "It is {time}.",
    "The train to {place} leaves at {time}.", "The meeting is on {day} at {time}.",
    "It's {degrees} degrees in {place}.",
    "There are {amount} people in the room.", "Chapter {number}.", "Press {digit} to continue.", "Call {digits}.",
    "Turn left in {amount} meters.", "The year was {year}.", "He was born in {year}.", "On {month} {ordinal}.",
    "The {ordinal} of {month} is a {day}.", "You have {number} new messages.", "Room {amount} is on floor {digit}.",
    "{number}, {number}, {number}.", "{amount}.", "{digits}.", "Version {digit} point {digit}.",
    "About {degrees} percent.",
    "{number} plus {number} is more than {number}.", "The flight from {place} to {place} takes {number} hours.",
    "Your package will arrive {when}.", "We are open from {time} to {time}.", "The answer is {amount}, isn't it?",
    "Page {amount}, line {number}.", "It costs {degrees} dollars and {degrees} cents.", "Wait {number} seconds.",
    "I'll be there {when}, at {time}.", "In {place} it will rain {when}.", "The shop in {place} closes at {time}.",
]  # fmt: skip
PLACES = """
London | Paris | Berlin | New York | Boston | Chicago | Madrid | Rome | Tokyo | Vienna | Dublin | Sydney | Seattle |
Lisbon | Oslo | Toronto | Denver | Amsterdam | Prague | Zurich | the airport | the station | the city center |
the office
"""
DAYS = "Monday | Tuesday | Wednesday | Thursday | Friday | Saturday | Sunday"
MONTHS = """
January | February | March | April | May | June | July | August | September | October | November | December
"""
WHEN = """
today | tomorrow | tonight | next week | this afternoon | in the morning | right now | later | in a minute | soon
"""
LISTS = {"place": PLACES, "day": DAYS, "month": MONTHS, "when": WHEN}
RANGES = {"number": (2, 20), "amount": (21, 999), "degrees": (1, 99), "digit": (0, 9), "year": (1700, 2040)}
TEMPLATES = [
    "{0} {1} {2} {3} {4}.", "{0} {1} {2} {3}.", "{0}, {1}, {2}, and {3}.", "The {0} {1} and the {2} {3}.",
    "A {0} of {1} {2}.", "Is it {0} or {1}?", "He said {0}, she said {1}.", "{0} {1}, {2} {3}.",
    "Not {0}, but {1} {2}.",
    "They {0} the {1} with {2}.", "{0}! {1} {2}!", "What about {0} and {1}?", "From {0} to {1}, and {2} {3} {4}.",
    "{0}: {1}, {2}, {3}, or {4}.", "Every {0} has {1} {2} {3}.",
]  # fmt: skip


def short_answers() -> Iterator[str]:
    yield from _items(SHORT)


def agent_phrases(count: int, rng: random.Random) -> Iterator[str]:
    """Questions and statements of a voice agent, with numbers in digits, as a program writes them."""
    for _ in range(count):
        if rng.random() < 0.45:
            yield _fill_slots(rng.choice(OFFERS).replace("{do}", rng.choice(_items(TASKS))), rng)
        else:
            yield _fill_slots(rng.choice(STATEMENTS), rng)


def word_coverage_phrases(words: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Short nonsense phrases that together contain each word once, in random order."""
    rest = rng.sample(words, len(words))
    while rest:
        template = rng.choice(TEMPLATES)
        slots = template.count("{")
        chosen, rest = rest[:slots], rest[slots:]
        yield template.format(*chosen, *["this"] * (slots - len(chosen)))


def _fill_slots(text: str, rng: random.Random) -> str:
    """Replace each `{kind}` by a random value of that kind."""
    while found := re.search(r"\{(\w+)\}", text):
        text = text[: found.start()] + _value(found[1], rng) + text[found.end() :]
    return text


def _value(kind: str, rng: random.Random) -> str:
    if kind in LISTS:
        return rng.choice(_items(LISTS[kind]))
    if kind in RANGES:
        return str(rng.randint(*RANGES[kind]))
    match kind:
        case "digits":
            return " ".join(str(rng.randint(0, 9)) for _ in range(rng.randint(3, 6)))
        case "time":
            return f"{rng.randint(1, 12)}:{rng.choice(['15', '30', '45', '20', '05', '10'])}"
        case "ordinal":
            return _ordinal(rng.randint(1, 31))
    raise ValueError(f"unknown slot {kind!r} in a template")


def _ordinal(number: int) -> str:
    ending = "th" if 10 < number < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split("|")]
