"""Where a file is, as people write it: `hf://owner/repo/path@revision`, `https://…` or a path; and fetching it.

Knows nothing of models: configs, weights, tokenizers and voices all come through here.
"""

import hashlib
import http.client
import os
import re
import tempfile
from pathlib import Path
from typing import IO
from urllib.parse import urljoin
from urllib.request import Request, urlopen

from huggingface_hub import constants
from tqdm import tqdm

from sayline_tts.engine.errors import CheckpointError, HubError, InputError

ANSWER_S = 10.0
PIECE_BYTES = 1 << 20
LARGEST_DOWNLOAD_BYTES = 8 << 30


def fetch(source: str, folder: Path | None = None) -> Path:
    """The file on this machine, downloaded with a progress bar unless it is in the cache.

    A relative path counts from `folder`. Raises `HubGated`, `HubError`, or `CheckpointError` for a missing path.
    """
    if source.startswith("hf://"):
        return _from_hub(source)
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
        from sayline_tts.engine.checkpoint.hub import HubFile  # here, for what it takes to load

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


def _from_hub(source: str) -> Path:
    from sayline_tts.engine.checkpoint.hub import HubFile

    file = HubFile.parse(source)
    copy = file.cached()
    if copy is not None and (file.pinned or constants.HF_HUB_OFFLINE):
        return copy
    try:
        return file.download()
    except HubError:
        if copy is None:
            raise
        return copy


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
    from huggingface_hub.utils import are_progress_bars_disabled  # type: ignore[attr-defined]

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
