"""What is written for machines, too: web and mail addresses, handles, versions, telephone numbers, files."""

import re

from sayline_tts.engine.text.normalization.language_data import Table, words_of
from sayline_tts.engine.text.normalization.number_words import Numerals
from sayline_tts.engine.text.normalization.token_context import Sight

_URL = re.compile(r"<?(?:[a-z][a-z0-9+.-]{1,11}://|www\.)([^\s/?#]+)([^\s?#]*)\S*", re.IGNORECASE)
_HOST = re.compile(r"((?:[a-z0-9-]+\.)+([a-z]{2,12}))(?::\d+)?(/[^\s?#]*)?(?:[?#]\S*)?", re.IGNORECASE)
_MAIL = re.compile(r"<?(?:mailto:)?([^\s@<>]+)@([a-z0-9-]+(?:\.[a-z0-9-]+)+)>?", re.IGNORECASE)
_HANDLE = re.compile(r"@([^\W\d]\w*(?:[.-]\w+)*)")
_TAG = re.compile(r"#([^\W\d]\w*)")
_NUMBERED = re.compile(r"#(\d+)", re.ASCII)
_IPV4 = re.compile(r"((?:\d{1,3}\.){3}\d{1,3})(?:/(\d{1,2}))?(?::(\d+))?", re.ASCII)
_VERSION = re.compile(r"(v|V|ver)?\.?(\d+(?:\.\d+)*)([a-z]\w*)?", re.ASCII)
_FILE = re.compile(r"[\w./~-]*[\w-]")
_PHONE = re.compile(r"(?:\+?\d{1,3}[-.]?)?(?:\(\d{3}\)[-.]?|\d{3}[-.])\d{3}[-.]\d{4}|\d{3}-\d{4}", re.ASCII)
_ROUND_RANGE = re.compile(r"\d[05]0-\d\d[05]0", re.ASCII)
_DIGIT_GROUPS = re.compile(r"\+?\d{1,5}(?:[-.]\d{1,5}){2,}|\+\d{7,15}", re.ASCII)
_RUNS = re.compile(r"[^\W\d_]+|\d+|.", re.DOTALL)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LONGEST_PATH = 30  # characters that one would still read out
_AREA = re.compile(r"\d{3}", re.ASCII)


class Addresses:
    def __init__(self, table: Table, numerals: Numerals) -> None:
        self._table = table
        self._numerals = numerals
        self._domains = words_of(table.domains)

    def say(self, sight: Sight) -> str | None:
        core = sight.core
        if core[0].isdigit() or core[0] in "+vV":
            return self._numbers(sight) or self._web(core)
        if "@" in core or core[0] == "#":
            return self._tagged(core) or self._web(core)
        return self._web(core) or self._file(core)

    def _tagged(self, core: str) -> str | None:
        word = self._table.word
        if found := _MAIL.fullmatch(core):
            return f"{self.spelled_out(found[1])} {word('at')} {self.spelled_out(found[2])}"
        if found := _HANDLE.fullmatch(core):
            return f"{word('at')} {self.spelled_out(found[1])}"
        if found := _NUMBERED.fullmatch(core):
            return f"{word('number')} {self._numerals.cardinal(found[1])}"
        if found := _TAG.fullmatch(core):
            return f"{word('hashtag')} {self.spelled_out(_CAMEL.sub(' ', found[1]))}"
        return None

    def _web(self, core: str) -> str | None:
        """The host, and a path that is short. Nobody reads out what stands behind a question mark."""
        if found := _URL.match(core):
            return self._site(found[1].rpartition("@")[2], found[2].rstrip(">"))
        if "." not in core:
            return None
        found = _HOST.fullmatch(core)
        if found is None or found[2].lower() not in self._domains or found[2].lower() in self._table.file_names:
            return None
        return self._site(found[1], found[3] or "")

    def _site(self, host: str, path: str) -> str:
        host = host.removeprefix("www.").rstrip(">.,")
        path = path.strip("/").rstrip(".,;:!)>]")
        read = host if len(path) > _LONGEST_PATH else "/".join(filter(None, (host, path)))
        return self.spelled_out(read)

    def _file(self, core: str) -> str | None:
        name, _, ending = core.rpartition(".")
        ending = self._table.file_names.get(ending.lower(), "")
        if not ending or not _FILE.fullmatch(name):
            return None
        name = name.lower() if name.isupper() and len(name) > 3 else name
        return f"{self.spelled_out(name)} {self._table.word('dot')} {ending}"

    def _numbers(self, sight: Sight) -> str | None:
        core, word = sight.core, self._table.word
        if found := _IPV4.fullmatch(core):
            said = f" {word('dot')} ".join(self._numerals.cardinal(part) for part in found[1].split("."))
            if found[2]:
                said += f" {word('slash')} {self._numerals.cardinal(found[2])}"
            return said + (f" {word('colon')} {self._numerals.digits(found[3])}" if found[3] else "")
        if _ROUND_RANGE.fullmatch(core):
            return None
        if _PHONE.fullmatch(core) or (_DIGIT_GROUPS.fullmatch(core) and not self._is_version(core)):
            return self._dialled(core)
        if sight.term.lead == "(" and _AREA.fullmatch(core) and _PHONE.fullmatch(sight.after.core):
            return self._numerals.digits(core)
        return self._version(core)

    def _is_version(self, core: str) -> bool:
        return _VERSION.fullmatch(core) is not None

    def _dialled(self, core: str) -> str:
        groups = "".join(char if char.isdigit() else " " for char in core).split()
        said = ", ".join(self._numerals.digits(group) for group in groups)
        return f"{self._table.word('plus')} {said}" if core[0] == "+" else said

    def _version(self, core: str) -> str | None:
        found = _VERSION.fullmatch(core)
        if found is None or (not found[1] and (found[2].count(".") < 2 or found[3])):
            return None
        point = f" {self._table.word('point')} "
        said = point.join(self._numerals.cardinal(part) for part in found[2].split("."))
        said = f"{self._table.word('version')} {said}" if found[1] else said
        return f"{said} {self.spelled_out(found[3])}" if found[3] else said

    def spelled_out(self, text: str) -> str:
        """Letters as words, digits as numbers, marks by their names."""
        names = {
            ".": "dot",
            "/": "slash",
            "@": "at",
            "_": "underscore",
            "-": "dash",
            "+": "plus",
            "&": "and",
            ":": "colon",
        }
        said = []
        for run in _RUNS.findall(text):
            if run.isdecimal() and run.isascii():
                said.append(self._numerals.cardinal(run) if len(run) <= 4 else self._numerals.digits(run))
            elif run.isalpha():
                said.append(run)
            elif run in names:
                said.append(self._table.word(names[run]))
        return " ".join(filter(None, said))
