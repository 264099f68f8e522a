"""One file of the Hugging Face hub: its name, its copy on this machine, and getting it.

Loading the hub's library takes as long as all the engine's own modules, and weights that lie on this machine need
nothing of it. So this module is imported only where a file of the hub was named.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from sayline_tts.engine.errors import HubError, HubGated, InputError

ANSWER_S = 10.0


@dataclass(frozen=True)
class HubFile:
    """One file in a repository of the Hugging Face hub."""

    repo: str
    path: str
    revision: str | None

    @classmethod
    def parse(cls, source: str) -> Self:
        name, _, revision = source.removeprefix("hf://").partition("@")
        owner, _, rest = name.partition("/")
        repo, _, path = rest.partition("/")
        try:
            validate_repo_id(f"{owner}/{repo}")
            if {"", ".", ".."} & {*path.split("/"), *(revision or "main").split("/")}:
                raise ValueError("a part of the path is missing or not a name")
        except ValueError as error:
            shape = "hf://owner/repository/path/to/file@revision"
            raise InputError(f"{source}: write it as {shape} ({error})") from error
        return cls(f"{owner}/{repo}", path, revision or None)

    @property
    def pinned(self) -> bool:
        """A commit never changes, so a copy of it never needs asking about."""
        return re.fullmatch("[0-9a-f]{40}", self.revision or "") is not None

    @property
    def url(self) -> str:
        return hf_hub_url(self.repo, self.path, revision=self.revision)

    def cached(self) -> Path | None:
        found = try_to_load_from_cache(self.repo, self.path, revision=self.revision)
        return Path(found) if isinstance(found, str) else None

    def ask(self) -> None:
        """Raises `HubGated` or another `HubError` unless the hub would let us have this file now."""
        with _explained(self):
            get_hf_file_metadata(self.url, timeout=ANSWER_S)

    def download(self) -> Path:
        # Asked first: the library by itself goes on trying a hub that is down for half a minute or more.
        self.ask()
        with _explained(self):
            return Path(hf_hub_download(self.repo, self.path, revision=self.revision))

    def __str__(self) -> str:
        return f"hf://{self.repo}/{self.path}" + (f"@{self.revision}" if self.revision else "")


@contextmanager
def _explained(file: HubFile) -> Iterator[None]:
    """Turns what the hub library raises into what a user can act on."""
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"{file}: not in the cache, and HF_HUB_OFFLINE is set; unset it to download")
    try:
        yield
    except HfHubHTTPError as error:
        raise _refusal(file, error) from error
    # Beside HTTP errors: broken-off or inconsistent files and full disks (OSError), malformed names
    # (ValueError), and whatever hf_xet, which downloads large files, makes of the same (RuntimeError).
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        fault = str(error).strip() or type(error).__name__
        why = f"cannot be had from {constants.ENDPOINT} ({fault}); check the connection and try again"
        raise HubError(f"{file}: {why}") from error


def _refusal(file: HubFile, error: HfHubHTTPError) -> HubError:
    match error.response.status_code:
        case 401 | 403 as status:
            # The hub does not tell a stranger whether a closed repository exists.
            closed = "is gated" if isinstance(error, GatedRepoError) else "is closed to you, or does not exist"
            return HubGated(
                f"{file.repo} {closed} (the hub answered {status}): accept its terms at "
                f"{constants.ENDPOINT}/{file.repo}, run `hf auth login`, and try again"
            )
        case 404:
            return HubError(f"{file}: the hub has no such file (404); check repository, path and revision")
        case status:
            return HubError(f"{file}: the hub answered {status}; try again later")
