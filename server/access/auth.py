"""Who calls: the holder of a key, or, where none is asked for, an address. Knows requests, but refuses nobody.

Keys are asked for where there are any, and beyond this machine unless it was said twice that everybody may come in.
"""

import hmac

from aiohttp import web

from sayline_tts.server.access.client_address import Visitor
from sayline_tts.server.access.key_ring import KeyRing
from sayline_tts.server.access.keys import SINGLE_KEY, KeyFile, KeyRevoked, digest
from sayline_tts.server.access.limits import ANONYMOUS, Caller, Limits
from sayline_tts.server.settings import Settings

KEY_SUBPROTOCOL = "sayline.key."  # browsers cannot set headers, but they can name subprotocols
KEY_HEADER = "X-API-Key"


def offered_subprotocols(request: web.Request) -> list[str]:
    return [name.strip() for name in ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")]


def given_keys(request: web.Request) -> list[str]:
    """At most one of each way to give it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    offered = (name for name in offered_subprotocols(request) if name.startswith(KEY_SUBPROTOCOL))
    keys = (
        token.strip() if scheme.lower() == "bearer" else "",
        request.headers.get(KEY_HEADER, "").strip(),
        next(offered, "").removeprefix(KEY_SUBPROTOCOL),
    )
    return [key for key in keys if key]


class Callers:
    def __init__(self, settings: Settings) -> None:
        """Raises `KeyFileError`."""
        self._ring = KeyRing(KeyFile(settings.keys_path))
        single = None if settings.api_key is None else settings.api_key.get_secret_value()
        self._single = None if single is None else digest(single)
        self._always_keyed = single is not None or (settings.exposed and settings.insecure < 2)
        self._anonymous = Limits(
            contexts=settings.anonymous_contexts or None,
            chars_per_minute=settings.anonymous_chars_per_minute or None,
        )

    @property
    def keyed(self) -> bool:
        """Whether a key is asked for, as of now."""
        return self._always_keyed or self._ring.found_file

    def find(self, request: web.Request, visitor: Visitor) -> Caller | None:
        """None: this needs a key, and the right one was not given."""
        if not self.keyed:
            return Caller(ANONYMOUS, self._anonymous, account=f"{ANONYMOUS} {visitor.network}")
        found = [caller for key in given_keys(request) if (caller := self._holder(key))]
        return found[0] if found else None

    def current(self, caller: Caller) -> Caller:
        """As of now, with the limits that he has now. Raises `KeyRevoked`."""
        if caller.name == SINGLE_KEY or (caller.name == ANONYMOUS and not self.keyed):
            return caller
        key = self._ring.named(caller.name)
        if key is None or key.sha256 != caller.sha256:
            raise KeyRevoked("this key is not good any more; connect again with another one")
        return key.caller

    def _holder(self, given: str) -> Caller | None:
        key = self._ring.find(given)
        if key is not None:
            return key.caller
        if self._single is not None and hmac.compare_digest(self._single, digest(given)):
            return Caller(SINGLE_KEY, self._anonymous, account=SINGLE_KEY)
        return None
