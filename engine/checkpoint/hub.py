"""A file on the Hugging Face hub: its name, its cached copy, and downloading it.

Importing the hub's library takes as long as importing all modules of the engine, and local weights do not need it.
This module is therefore imported only when a source names a file on the hub.
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

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class HubFile:
    """One file of a repository on the Hugging Face hub."""

    repo: str
    path: str
    revision: str | None

    @classmethod
    def parse(cls, source: str) -> Self:
        """Parse `hf://owner/repository/path@revision`. Raises `InputError`."""
        name, _, revision = source.removeprefix("hf://").partition("@")
        owner, _, rest = name.partition("/")
        repo, _, path = rest.partition("/")
        try:
            validate_repo_id(f"{owner}/{repo}")
            if {"", ".", ".."} & {*path.split("/"), *(revision or "main").split("/")}:
                raise ValueError("a part of the path is missing, . or ..")
        except ValueError as error:
            form = "hf://owner/repository/path/to/file@revision"
            raise InputError(f"{source} is not a file on the hub ({error}); write it as {form}") from error
        return cls(f"{owner}/{repo}", path, revision or None)

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, which never changes: its cached copy need not be revalidated."""
        return re.fullmatch("[0-9a-f]{40}", self.revision or "") is not None

    @property
    def url(self) -> str:
        return hf_hub_url(self.repo, self.path, revision=self.revision)

    def cached_copy(self) -> Path | None:
        found = try_to_load_from_cache(self.repo, self.path, revision=self.revision)
        return Path(found) if isinstance(found, str) else None

    def check_access(self) -> None:
        """Raise `HubGated` or another `HubError` if the hub does not serve this file now."""
        with _translated_errors(self):
            get_hf_file_metadata(self.url, timeout=TIMEOUT_S)

    def download(self) -> Path:
        """Download into the hub library's cache, unless it is there. Raises `HubError`."""
        # Checked first: the library alone retries a hub that is down for half a minute or longer.
        self.check_access()
        with _translated_errors(self):
            return Path(hf_hub_download(self.repo, self.path, revision=self.revision))

    def __str__(self) -> str:
        return f"hf://{self.repo}/{self.path}" + (f"@{self.revision}" if self.revision else "")


@contextmanager
def _translated_errors(file: HubFile) -> Iterator[None]:
    """Translate exceptions of the hub library into `HubError`, with a message that a user can act on."""
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"{file}: not in the cache, and HF_HUB_OFFLINE is set; unset it to download")
    try:
        yield
    except HfHubHTTPError as error:
        raise _http_error(file, error) from error
    # Besides HTTP errors: interrupted or inconsistent downloads and full disks (OSError), malformed names
    # (ValueError), and RuntimeError, which hf_xet, the downloader of large files, raises for all of these.
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        fault = str(error).strip() or type(error).__name__
        why = f"cannot be downloaded from {constants.ENDPOINT} ({fault}); check the connection and try again"
        raise HubError(f"{file}: {why}") from error


def _http_error(file: HubFile, error: HfHubHTTPError) -> HubError:
    match error.response.status_code:
        case 401 | 403 as status:
            # The hub does not reveal to an unauthorized client whether a private repository exists.
            closed = "is gated" if isinstance(error, GatedRepoError) else "is private or does not exist"
            return HubGated(
                f"{file.repo} {closed} (the hub answered {status}): accept its terms at "
                f"{constants.ENDPOINT}/{file.repo}, run `hf auth login`, and try again"
            )
        case 404:
            return HubError(f"{file}: the hub has no such file (404); check repository, path and revision")
        case status:
            return HubError(f"{file}: the hub answered {status}; try again later")
