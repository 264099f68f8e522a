"""One written word among its neighbours, which often decide how it is said."""

from collections.abc import Sequence
from dataclasses import dataclass

_OPENING = "\"'“”‘’«‹»›„‚([{¿¡"
_CLOSING = "\"'”’“‘»›«‹)]},.;:!?…。！？、，；："


@dataclass(frozen=True)
class Term:
    """`lead`, `core` and `trail` are the whole: quotes and brackets, the word, what closes it."""

    lead: str
    core: str
    trail: str
    opens_item: bool = False
    is_ordinary: bool = False  # said as it is written

    @classmethod
    def of(cls, text: str, opens_item: bool = False, is_ordinary: bool = False) -> "Term":
        inner = text.lstrip(_OPENING)
        core = inner.rstrip(_CLOSING)
        return cls(text[: len(text) - len(inner)], core, inner[len(core) :], opens_item, is_ordinary)

    @property
    def text(self) -> str:
        return self.lead + self.core + self.trail

    def touches(self, before: "Term") -> bool:
        """Nothing but a blank between this one and the one before."""
        return not before.trail and not self.lead

    @property
    def dotted(self) -> str:
        """As an abbreviation is looked up."""
        return self.core.lower() + ("." if self.trail.startswith(".") else "")


_NOTHING = Term("", "", "")


@dataclass(frozen=True)
class Sight:
    terms: Sequence[Term]
    at: int

    @property
    def term(self) -> Term:
        return self.terms[self.at]

    @property
    def core(self) -> str:
        return self.terms[self.at].core

    @property
    def before(self) -> Term:
        return self.back(1)

    def back(self, steps: int) -> Term:
        return self.terms[self.at - steps] if self.at >= steps else _NOTHING

    @property
    def after(self) -> Term:
        return self.terms[self.at + 1] if self.at + 1 < len(self.terms) else _NOTHING

    def near(self, words: int) -> Sequence[Term]:
        return self.terms[max(0, self.at - words) : self.at + words + 1]

    @property
    def touches_before(self) -> bool:
        return self.term.touches(self.before)

    @property
    def touches_after(self) -> bool:
        return self.after.touches(self.term)

    @property
    def touches_number_after(self) -> bool:
        return not self.after.lead and self.after.core[:1].isdigit()

    @property
    def is_last(self) -> bool:
        return self.at == len(self.terms) - 1
