"""Resources: files named by `hf://owner/repo/path@revision`, by `https://…` or by a local path; and fetching them.

Configs, weights, tokenizers and voices are all fetched through this module.
"""

import hashlib
import http.client
import os
import re
from pathlib import Path
from typing import IO
from urllib.parse import urljoin
from urllib.request import Request, urlopen

from huggingface_hub import constants
from tqdm import tqdm

from sayline_tts.engine.checkpoint.atomic_write import atomic_file
from sayline_tts.engine.errors import CheckpointError, HubError, InputError

TIMEOUT_S = 10.0
CHUNK_BYTES = 1 << 20
MAX_DOWNLOAD_BYTES = 8 << 30


def fetch(source: str, folder: Path | None = None) -> Path:
    """Return the local path of a resource; download it, with a progress bar, unless it is in the cache.

    A relative path is resolved against `folder`. Raises `HubGated`, `HubError`, `InputError` for an unknown scheme, or
    `CheckpointError` for a path that does not exist.
    """
    if source.startswith("hf://"):
        return _from_hub(source)
    if source.startswith(("https://", "http://")):
        return _from_web(source)
    if is_remote(source):
        raise InputError(f"{source}: unknown scheme; use hf://, https://, http:// or a local path")
    path = (folder or Path()) / Path(source).expanduser()
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; check the path")
    return path


def cached_copy(source: str) -> Path | None:
    """The local copy of a resource, or None. Makes no network request."""
    if source.startswith("hf://"):
        from sayline_tts.engine.checkpoint.hub import HubFile  # imported late: it loads slowly

        return HubFile.parse(source).cached_copy()
    path = _web_cache_path(source) if is_remote(source) else Path(source).expanduser()
    return path if path.is_file() else None


def is_remote(source: str) -> bool:
    return "://" in source


def resolve_relative(source: str, name: str) -> str:
    """Resolve `name`, as written inside the file `source`: a relative path is relative to that file."""
    if is_remote(name) or Path(name).is_absolute():
        return name
    if source.startswith("hf://"):
        location, _, revision = source.partition("@")
        return location.rpartition("/")[0] + f"/{name}" + (f"@{revision}" if revision else "")
    if is_remote(source):
        return urljoin(source, name)
    return str(Path(source).expanduser().parent / name)


def _from_hub(source: str) -> Path:
    from sayline_tts.engine.checkpoint.hub import HubFile

    file = HubFile.parse(source)
    copy = file.cached_copy()
    if copy is not None and (file.pinned or constants.HF_HUB_OFFLINE):
        return copy
    try:
        return file.download()
    except HubError:
        if copy is None:
            raise
        return copy


def _web_cache_path(url: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # The suffix is kept because it distinguishes voice files from audio files.
    suffix = re.search(r"\.\w{1,16}$", _file_name(url))
    return home / "sayline" / (hashlib.sha256(url.encode()).hexdigest() + (suffix[0] if suffix else ""))


def _file_name(url: str) -> str:
    return re.split("[?#]", url)[0].rpartition("/")[2]


def _from_web(url: str) -> Path:
    copy = _web_cache_path(url)
    if copy.is_file():
        return copy
    if constants.HF_HUB_OFFLINE:
        raise HubError(f"{url}: not in the cache, and HF_HUB_OFFLINE is set; unset it to download")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(copy) as part:
            _download(url, part)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HubError(f"{url}: cannot be downloaded ({error}); check the address and try again") from error
    return copy


def _download(url: str, to: IO[bytes]) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled  # type: ignore[attr-defined]

    request = Request(url, headers={"User-Agent": "sayline"})
    with urlopen(request, timeout=TIMEOUT_S) as response:
        size_bytes = int(response.headers.get("Content-Length") or 0)
        received_bytes = 0
        # Same rule as the hub library's: no bar if bars are disabled, nor (None) if stderr is not a terminal.
        name, disable = _file_name(url), are_progress_bars_disabled() or None
        with tqdm(total=size_bytes or None, unit="B", unit_scale=True, desc=name, disable=disable) as bar:
            while chunk := response.read(CHUNK_BYTES):
                to.write(chunk)
                bar.update(len(chunk))
                received_bytes += len(chunk)
                if received_bytes > MAX_DOWNLOAD_BYTES:
                    raise OSError(f"larger than {MAX_DOWNLOAD_BYTES >> 30} GiB")
    if size_bytes and received_bytes != size_bytes:
        raise OSError(f"interrupted after {received_bytes} of {size_bytes} bytes")
