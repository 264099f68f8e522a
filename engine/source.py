"""Where a file is, as people write it: `hf://owner/repo/path@revision`, `https://…` or a path; and fetching it.

Knows nothing of models: configs, weights, tokenizers and voices all come through here.
"""

import hashlib
import http.client
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self
from urllib.parse import urljoin
from urllib.request import Request, urlopen

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
from huggingface_hub.utils import are_progress_bars_disabled, validate_repo_id  # type: ignore[attr-defined]
from tqdm import tqdm

from engine.errors import CheckpointError, HubError, HubGated, InputError

ANSWER_S = 10.0
PIECE_BYTES = 1 << 20
LARGEST_DOWNLOAD_BYTES = 8 << 30


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

    def cached(self) -> Path | None:
        found = try_to_load_from_cache(self.repo, self.path, revision=self.revision)
        return Path(found) if isinstance(found, str) else None

    def ask(self) -> None:
        """Raises `HubGated` or another `HubError` unless the hub would let us have this file now."""
        with _explained(self):
            get_hf_file_metadata(hf_hub_url(self.repo, self.path, revision=self.revision), timeout=ANSWER_S)

    def download(self) -> Path:
        # Asked first: the library by itself goes on trying a hub that is down for half a minute or more.
        self.ask()
        with _explained(self):
            return Path(hf_hub_download(self.repo, self.path, revision=self.revision))

    def __str__(self) -> str:
        return f"hf://{self.repo}/{self.path}" + (f"@{self.revision}" if self.revision else "")


def fetch(source: str, folder: Path | None = None) -> Path:
    """The file on this machine, downloaded with a progress bar unless it is in the cache.

    A relative path counts from `folder`. Raises `HubGated`, `HubError`, or `CheckpointError` for a missing path.
    """
    if source.startswith("hf://"):
        return _from_hub(HubFile.parse(source))
    if source.startswith(("https://", "http://")):
        return _from_web(source)
    if is_remote(source):
        raise InputError(f"{source}: only hf://, https://, http:// and paths on this machine can be read")
    path = (folder or Path()) / Path(source).expanduser()
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; check the path")
    return path


def cached(source: str) -> Path | None:
    """The copy on this machine, if there is one. Never asks anyone."""
    if source.startswith("hf://"):
        return HubFile.parse(source).cached()
    path = _web_copy(source) if is_remote(source) else Path(source).expanduser()
    return path if path.is_file() else None


def is_remote(source: str) -> bool:
    return "://" in source


def beside(source: str, name: str) -> str:
    """What `name` means inside the file at `source`: a relative path counts from that file's own place."""
    if is_remote(name) or Path(name).is_absolute():
        return name
    if source.startswith("hf://"):
        place, _, revision = source.partition("@")
        return place.rpartition("/")[0] + f"/{name}" + (f"@{revision}" if revision else "")
    if is_remote(source):
        return urljoin(source, name)
    return str(Path(source).expanduser().parent / name)


def _from_hub(file: HubFile) -> Path:
    copy = file.cached()
    if copy is not None and (file.pinned or constants.HF_HUB_OFFLINE):
        return copy
    try:
        return file.download()
    except HubError:
        if copy is None:
            raise
        return copy


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


def _web_copy(url: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # The ending is kept because it tells a voice's state from audio.
    ending = re.search(r"\.\w{1,16}$", _file_name(url))
    return home / "sayline" / (hashlib.sha256(url.encode()).hexdigest() + (ending[0] if ending else ""))


def _file_name(url: str) -> str:
    return re.split("[?#]", url)[0].rpartition("/")[2]


def _from_web(url: str) -> Path:
    copy = _web_copy(url)
    if copy.is_file():
        return copy
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"{url}: not in the cache, and HF_HUB_OFFLINE is set; unset it to download")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=copy.parent, suffix=".part", delete=False) as part:
            try:
                _download(url, part)
                part.close()
                os.replace(part.name, copy)
            finally:
                Path(part.name).unlink(missing_ok=True)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HubError(f"{url}: cannot be downloaded ({error}); check the address and try again") from error
    return copy


def _download(url: str, to: IO[bytes]) -> None:
    request = Request(url, headers={"User-Agent": "sayline"})
    with urlopen(request, timeout=ANSWER_S) as answer:
        size_bytes = int(answer.headers.get("Content-Length") or 0)
        done_bytes = 0
        # As the hub library does it: no bar when bars are switched off, nor (None) where nobody watches a terminal.
        name, quiet = _file_name(url), are_progress_bars_disabled() or None
        with tqdm(total=size_bytes or None, unit="B", unit_scale=True, desc=name, disable=quiet) as bar:
            while piece := answer.read(PIECE_BYTES):
                to.write(piece)
                bar.update(len(piece))
                done_bytes += len(piece)
                if done_bytes > LARGEST_DOWNLOAD_BYTES:
                    raise OSError(f"larger than {LARGEST_DOWNLOAD_BYTES >> 30} GiB")
    if size_bytes and done_bytes != size_bytes:
        raise OSError(f"broken off after {done_bytes} of {size_bytes} bytes")
