"""How the text of one utterance becomes speech."""

from dataclasses import dataclass

from sayline_tts.engine.text.lexicon import Lexicon


@dataclass(frozen=True)
class TextOptions:
    """How text becomes speech. None leaves the choice to the server or the model."""

    verbatim: bool = False  # each push is one phrase
    clean_up: bool = True
    language: str | None = None
    max_delay_ms: float | None = None
    lookahead_words: int = 0  # speak a sentence while it is written, so many words behind; 0: whole clauses
    speed: float = 1.0  # of playback; pauses are lengthened by it, so that they last as long as the text asks for
    lexicons: tuple[Lexicon, ...] = ()  # the more important ones first
    voice: str = ""  # the name that entries of lexicons may have
