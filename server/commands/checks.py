"""What `sayline doctor` looks at, one by one. Each check changes nothing and downloads nothing."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import constants

from sayline_tts.engine.checkpoint import catalogue
from sayline_tts.engine.checkpoint.checkpoint import PREFERRED, find_checkpoint, hub_obstacle
from sayline_tts.engine.checkpoint.config import Config, load_config
from sayline_tts.engine.checkpoint.resource import beside, cached, is_remote
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.execution.profiling import cache_folder
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.server.access.auth import Callers
from sayline_tts.server.access.tls import make_context
from sayline_tts.server.app import bind
from sayline_tts.server.audio.opus import OpusEncoder, find_libopus
from sayline_tts.server.commands.resources import free_memory_bytes, granted_cores
from sayline_tts.server.settings import Settings

GB = 2**30
LITTLE_MEMORY_BYTES, TOO_LITTLE_MEMORY_BYTES = 2 * GB, GB // 2
LITTLE_DISK_BYTES = GB
FASTER = "one with VNNI or AMX (AMD Zen 4, Intel Ice Lake or Alder Lake, or later) speaks for more than twice as many"
FEATURES = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_f", "avx2", "i8mm", "neon")


class Status(Enum):
    FINE = "fine"
    WARNING = "warning"  # it works, less well
    FAILURE = "failure"  # it does not


@dataclass(frozen=True)
class Finding:
    topic: str
    status: Status
    found: str
    advice: str = ""  # what to do


Check = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings) -> Iterator[Finding]:
    """One after the other, since some take seconds. A check that breaks is a finding too."""
    for check in CHECKS:
        topic = check.__name__.replace("_", " ")
        try:
            yield from check(settings)
        except InputError as error:
            yield Finding(topic, Status.FAILURE, str(error))  # which says what to do
        except Exception as error:
            yield Finding(topic, Status.FAILURE, f"cannot be looked at: {error!r}", "tell us, it is our mistake")


def processor(settings: Settings) -> Iterator[Finding]:
    has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older torch cannot tell
    found = ", ".join(name.upper() for name in FEATURES if has.get(name)) or "features not known"
    device = torch.device(settings.device)
    if device.type == "cuda":
        yield _cuda()
        return
    precision = Precision.choose(settings.precision, device)
    found += f"; computes in {precision.value}"
    if precision is Precision.FLOAT32 and settings.precision == "auto":
        slow = has.get("architecture") == "x86_64" and not has.get("avx2")
        advice = "one without AVX2 is too slow for most models; " * slow + FASTER
        yield Finding("processor", Status.WARNING, found, advice)
    else:
        yield Finding("processor", Status.FINE, found)


def _cuda() -> Finding:
    if torch.cuda.is_available():
        return Finding("processor", Status.FINE, torch.cuda.get_device_name())
    return Finding("processor", Status.FAILURE, "torch finds no GPU", "install a torch with CUDA, or take --device cpu")


def cores(settings: Settings) -> Iterator[Finding]:
    there = granted_cores()
    if settings.threads > there:
        advice = f"take --threads {max(1, int(there))}: threads that share a core wait for each other"
        yield Finding("cores", Status.WARNING, f"{there:g}, and {settings.threads} threads for one pass", advice)
    elif there < 2:
        yield Finding("cores", Status.WARNING, f"{there:g}", "two are the least that keep several listeners supplied")
    else:
        yield Finding("cores", Status.FINE, f"{there:g}")


def memory(settings: Settings) -> Iterator[Finding]:
    left = free_memory_bytes()
    if left is None:
        yield Finding("memory", Status.WARNING, "not known here", f"see that {_gb(LITTLE_MEMORY_BYTES)} are free")
        return
    enough = left >= LITTLE_MEMORY_BYTES
    status = Status.FINE if enough else Status.WARNING if left >= TOO_LITTLE_MEMORY_BYTES else Status.FAILURE
    advice = "" if enough else f"free some: a published model takes up to {_gb(LITTLE_MEMORY_BYTES)}, the embedded half"
    yield Finding("memory", status, f"{_gb(left)} free", advice)


def libopus(settings: Settings) -> Iterator[Finding]:
    encoder = OpusEncoder()
    encoder.encode(np.zeros(encoder.frame_samples, np.float32))
    yield Finding("libopus", Status.FINE, str(find_libopus()))


def weights(settings: Settings) -> Iterator[Finding]:
    """Of the model that would speak, and whether the hub would give what is not here."""
    if settings.config is not None and is_remote(settings.config) and cached(settings.config) is None:
        found = f"{settings.config} is not here yet"
        yield Finding("weights", Status.WARNING, found, "it is fetched when the server starts")
        return
    if settings.config is not None or settings.variant == "embedded":
        yield _own_weights(settings)
        yield Finding("hub", Status.FINE, "not needed")
        return
    name = PREFERRED if settings.variant == "auto" else catalogue.variant_name(settings.variant)
    config = catalogue.variant_config(name)
    if _is_here(config, ""):
        yield Finding("weights", Status.FINE, f"{name}, in the cache {constants.HF_HUB_CACHE}")
        yield Finding("hub", Status.FINE, "not needed")
        return
    why_not = hub_obstacle(config)
    hub = constants.ENDPOINT
    if not why_not:
        yield Finding("weights", Status.FINE, f"{name}: not here yet; the server downloads them when it starts")
        yield Finding("hub", Status.FINE, f"{hub} offers them")
        return
    embedded = settings.variant == "auto"
    then = "so the small embedded voice speaks" if embedded else "and without it the server does not start"
    status = Status.WARNING if embedded else Status.FAILURE
    yield Finding(
        "weights", status, f"{name}: not here, {then}", "mend what is said of the hub, or take --variant embedded"
    )
    advice = f"see that {hub} can be reached (HTTPS_PROXY, HF_ENDPOINT), accept the terms, `hf auth login`"
    yield Finding("hub", status, why_not, advice)


def _own_weights(settings: Settings) -> Finding:
    if settings.config is None:
        checkpoint = find_checkpoint("embedded")
        voices = ", ".join(checkpoint.voices())
        return Finding("weights", Status.FINE, f"embedded, with the voices {voices}")
    config = load_config(cached(settings.config) or Path(settings.config).expanduser())
    if _is_here(config, settings.config):
        return Finding("weights", Status.FINE, f"{settings.config}: all its files are here")
    advice = "see that the paths in it are right; what it names on the hub or the web is fetched when the server starts"
    return Finding("weights", Status.WARNING, f"{settings.config} names files that are not here", advice)


def _is_here(config: Config, near: str) -> bool:
    sources = [config.weights_path, config.weights_path_without_voice_cloning]
    tokenizer = cached(beside(near, config.flow_lm.lookup_table.tokenizer_path))
    return tokenizer is not None and any(cached(beside(near, source)) for source in sources if source)


def port(settings: Settings) -> Iterator[Finding]:
    with bind(settings) as listener:
        where = "{}:{}".format(*listener.getsockname()[:2])
    yield Finding("port", Status.FINE, f"{where} is free")


def exposure(settings: Settings) -> Iterator[Finding]:
    settings.check_exposure()
    Callers(settings)  # raises where the keys cannot be read
    safe = "over TLS" if make_context(settings) else "without TLS"
    seen = "this machine alone" if settings.on_loopback else f"every machine that reaches {settings.host}, {safe}"
    yield Finding("exposure", Status.FINE, f"listens to {seen}")


def folders(settings: Settings) -> Iterator[Finding]:
    """Where the server writes."""
    yield writable("cache", cache_folder(), "XDG_CACHE_HOME")
    yield writable("downloads", Path(constants.HF_HUB_CACHE), "HF_HOME")
    yield writable("data", Path(settings.data).expanduser(), "SAYLINE_DATA")


def writable(topic: str, folder: Path, variable: str) -> Finding:
    """The folder itself, or, where it is not there yet, what it would be made in."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    advice = f"make {folder} a folder that this user may write to, or set {variable} to another"
    try:
        if there == folder:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-"):
                pass
        elif not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            return Finding(topic, Status.FAILURE, f"{folder} cannot be made in {there}", advice)
    except OSError as error:
        return Finding(topic, Status.FAILURE, f"{folder} cannot be written to ({error.strerror})", advice)
    left = shutil.disk_usage(there).free
    if left < LITTLE_DISK_BYTES:
        return Finding(topic, Status.WARNING, f"{folder}: {_gb(left)} free", f"free some, or set {variable} to another")
    return Finding(topic, Status.FINE, f"{folder}: {_gb(left)} free")


def _gb(size: float) -> str:
    return f"{size / GB:.1f} GB"


CHECKS: tuple[Check, ...] = (processor, cores, memory, libopus, weights, port, exposure, folders)
