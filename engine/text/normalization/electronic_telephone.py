"""Verbalization of web and mail addresses, handles, file names, versions, IP addresses and telephone numbers."""

import re

from sayline_tts.engine.text.normalization.language_data import LanguageData, word_set
from sayline_tts.engine.text.normalization.number_words import NumberWords
from sayline_tts.engine.text.normalization.token_context import CHARACTER_RUNS, TokenContext

_URL = re.compile(r"<?(?:[a-z][a-z0-9+.-]{1,11}://|www\.)([^\s/?#]+)([^\s?#]*)\S*", re.IGNORECASE)
_HOST = re.compile(r"((?:[a-z0-9-]+\.)+([a-z]{2,12}))(?::\d+)?(/[^\s?#]*)?(?:[?#]\S*)?", re.IGNORECASE)
_MAIL = re.compile(r"<?(?:mailto:)?([^\s@<>]+)@([a-z0-9-]+(?:\.[a-z0-9-]+)+)>?", re.IGNORECASE)
_HANDLE = re.compile(r"@([^\W\d]\w*(?:[.-]\w+)*)")
_HASHTAG = re.compile(r"#([^\W\d]\w*)")
_NUMBERED = re.compile(r"#(\d+)", re.ASCII)
_IPV4 = re.compile(r"((?:\d{1,3}\.){3}\d{1,3})(?:/(\d{1,2}))?(?::(\d+))?", re.ASCII)
_VERSION = re.compile(r"(v|V|ver)?\.?(\d+(?:\.\d+)*)([a-z]\w*)?", re.ASCII)
_FILE_NAME = re.compile(r"[\w./~-]*[\w-]")
_PHONE = re.compile(r"(?:\+?\d{1,3}[-.]?)?(?:\(\d{3}\)[-.]?|\d{3}[-.])\d{3}[-.]\d{4}|\d{3}-\d{4}", re.ASCII)
_ROUND_NUMBER_RANGE = re.compile(r"\d[05]0-\d\d[05]0", re.ASCII)
_DIGIT_GROUPS = re.compile(r"\+?\d{1,5}(?:[-.]\d{1,5}){2,}|\+\d{7,15}", re.ASCII)
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_MAX_PATH_CHARS = 30  # longer paths are not spoken
_AREA_CODE = re.compile(r"\d{3}", re.ASCII)
SYMBOL_NAMES = {
    ".": "dot",
    "/": "slash",
    "@": "at",
    "_": "underscore",
    "-": "dash",
    "+": "plus",
    "&": "and",
    ":": "colon",
}  # keys of `LanguageData.words`


class ElectronicVerbalizer:
    """Verbalizer of electronic text, and of telephone numbers, which resemble versions and IP addresses."""

    def __init__(self, data: LanguageData, number_words: NumberWords) -> None:
        self._data = data
        self._number_words = number_words
        self._top_level_domains = word_set(data.top_level_domains)

    def verbalize(self, context: TokenContext) -> str | None:
        """Return the spoken form of the core, or None if it is not of this class."""
        core = context.core
        if core[0].isdigit() or core[0] in "+vV":
            return self._numeric(context) or self._url(core)
        if "@" in core or core[0] == "#":
            return self._mail_or_tag(core) or self._url(core)
        return self._url(core) or self._file_name(core)

    def _mail_or_tag(self, core: str) -> str | None:
        word = self._data.word
        if found := _MAIL.fullmatch(core):
            return f"{self._spell_out(found[1])} {word('at')} {self._spell_out(found[2])}"
        if found := _HANDLE.fullmatch(core):
            return f"{word('at')} {self._spell_out(found[1])}"
        if found := _NUMBERED.fullmatch(core):
            return f"{word('number')} {self._number_words.cardinal(found[1])}"
        if found := _HASHTAG.fullmatch(core):
            return f"{word('hashtag')} {self._spell_out(_CAMEL_CASE.sub(' ', found[1]))}"
        return None

    def _url(self, core: str) -> str | None:
        if found := _URL.match(core):
            return self._host_and_path(found[1].rpartition("@")[2], found[2].rstrip(">"))
        if "." not in core:
            return None
        found = _HOST.fullmatch(core)
        if found is None:
            return None
        suffix = found[2].lower()
        if suffix not in self._top_level_domains or suffix in self._data.file_extensions:
            return None
        return self._host_and_path(found[1], found[3] or "")

    def _host_and_path(self, host: str, path: str) -> str:
        """Verbalize the host and a short path. Longer paths, queries and fragments are silent."""
        host = host.removeprefix("www.").rstrip(">.,")
        path = path.strip("/").rstrip(".,;:!)>]")
        return self._spell_out(host if len(path) > _MAX_PATH_CHARS else "/".join(filter(None, (host, path))))

    def _file_name(self, core: str) -> str | None:
        stem, _, extension = core.rpartition(".")
        extension = self._data.file_extensions.get(extension.lower(), "")
        if not extension or not _FILE_NAME.fullmatch(stem):
            return None
        stem = stem.lower() if stem.isupper() and len(stem) > 3 else stem
        return f"{self._spell_out(stem)} {self._data.word('dot')} {extension}"

    def _numeric(self, context: TokenContext) -> str | None:
        """Verbalize IP addresses, telephone numbers and versions."""
        core, word = context.core, self._data.word
        if found := _IPV4.fullmatch(core):
            spoken = f" {word('dot')} ".join(self._number_words.cardinal(part) for part in found[1].split("."))
            if found[2]:
                spoken += f" {word('slash')} {self._number_words.cardinal(found[2])}"
            return spoken + (f" {word('colon')} {self._number_words.digits(found[3])}" if found[3] else "")
        if _ROUND_NUMBER_RANGE.fullmatch(core):
            return None
        if _PHONE.fullmatch(core) or (_DIGIT_GROUPS.fullmatch(core) and not _VERSION.fullmatch(core)):
            return self._telephone(core)
        if context.token.leading == "(" and _AREA_CODE.fullmatch(core) and _PHONE.fullmatch(context.next.core):
            return self._number_words.digits(core)
        return self._version(core)

    def _telephone(self, core: str) -> str:
        groups = "".join(char if char.isdigit() else " " for char in core).split()
        spoken = ", ".join(self._number_words.digits(group) for group in groups)
        return f"{self._data.word('plus')} {spoken}" if core[0] == "+" else spoken

    def _version(self, core: str) -> str | None:
        found = _VERSION.fullmatch(core)
        if found is None or (not found[1] and (found[2].count(".") < 2 or found[3])):
            return None
        point = f" {self._data.word('point')} "
        spoken = point.join(self._number_words.cardinal(part) for part in found[2].split("."))
        spoken = f"{self._data.word('version')} {spoken}" if found[1] else spoken
        return f"{spoken} {self._spell_out(found[3])}" if found[3] else spoken

    def _spell_out(self, text: str) -> str:
        """Return letters as words, digits as numbers and symbols by their names."""
        spoken = []
        for run in CHARACTER_RUNS.findall(text):
            if run.isdecimal() and run.isascii():
                to_words = self._number_words.cardinal if len(run) <= 4 else self._number_words.digits
                spoken.append(to_words(run))
            elif run.isalpha():
                spoken.append(run)
            elif run in SYMBOL_NAMES:
                spoken.append(self._data.word(SYMBOL_NAMES[run]))
        return " ".join(filter(None, spoken))
