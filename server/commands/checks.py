"""The checks of `sayline doctor`. They change nothing and download nothing."""

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
from sayline_tts.engine.checkpoint.checkpoint import DEFAULT_VARIANT, find_checkpoint, hub_unavailable_reason
from sayline_tts.engine.checkpoint.config import Config, load_config
from sayline_tts.engine.checkpoint.resource import cached_copy, is_remote, resolve_relative
from sayline_tts.engine.errors import InputError
from sayline_tts.engine.execution.profiling import cache_folder
from sayline_tts.engine.kernels.precision import Precision
from sayline_tts.server.access.auth import Authenticator
from sayline_tts.server.access.tls import make_context
from sayline_tts.server.audio.opus import OpusEncoder, find_libopus
from sayline_tts.server.commands.resources import available_cores, free_memory_bytes
from sayline_tts.server.lifecycle import bind
from sayline_tts.server.settings import Settings

GB = 2**30
LITTLE_MEMORY_BYTES, TOO_LITTLE_MEMORY_BYTES = 2 * GB, GB // 2
LITTLE_DISK_BYTES = GB
FASTER = (
    "a CPU with VNNI or AMX (AMD Zen 4, Intel Ice Lake or Alder Lake, or later) serves over twice as many listeners"
)
FEATURES = ("amx_int8", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_f", "avx2", "i8mm", "neon")


class Status(Enum):
    FINE = "fine"
    WARNING = "warning"  # the server works, with restrictions
    FAILURE = "failure"  # the server does not start


@dataclass(frozen=True)
class Finding:
    topic: str
    status: Status
    found: str
    advice: str = ""  # what to do


Check = Callable[[Settings], Iterator[Finding]]


def run_checks(settings: Settings) -> Iterator[Finding]:
    """Yield findings as they are made, since some checks take seconds. A check that raises is a finding too."""
    for check in CHECKS:
        topic = check.__name__.replace("_", " ")
        try:
            yield from check(settings)
        except InputError as error:
            yield Finding(topic, Status.FAILURE, str(error))  # the message says what to do
        except Exception as error:
            yield Finding(topic, Status.FAILURE, f"check failed: {error!r}", "please report this as a bug in Sayline")


def processor(settings: Settings) -> Iterator[Finding]:
    has: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older torch
    found = ", ".join(name.upper() for name in FEATURES if has.get(name)) or "unknown features"
    device = torch.device(settings.device)
    if device.type == "cuda":
        yield _cuda()
        return
    precision = Precision.choose(settings.precision, device)
    found += f"; uses {precision.value}"
    if precision is Precision.FLOAT32 and settings.precision == "auto":
        slow = has.get("architecture") == "x86_64" and not has.get("avx2")
        advice = "a CPU without AVX2 is too slow for most models; " * slow + FASTER
        yield Finding("processor", Status.WARNING, found, advice)
    else:
        yield Finding("processor", Status.FINE, found)


def _cuda() -> Finding:
    if torch.cuda.is_available():
        return Finding("processor", Status.FINE, torch.cuda.get_device_name())
    return Finding("processor", Status.FAILURE, "torch found no GPU", "install torch with CUDA, or use --device cpu")


def cores(settings: Settings) -> Iterator[Finding]:
    available = available_cores()
    if settings.threads > available:
        advice = f"use --threads {max(1, int(available))}, because threads that share a core slow each other down"
        yield Finding("cores", Status.WARNING, f"{available:g}, fewer than --threads {settings.threads}", advice)
    elif available < 2:
        yield Finding("cores", Status.WARNING, f"{available:g}", "use at least two cores for several listeners")
    else:
        yield Finding("cores", Status.FINE, f"{available:g}")


def memory(settings: Settings) -> Iterator[Finding]:
    free = free_memory_bytes()
    if free is None:
        yield Finding("memory", Status.WARNING, "unknown", f"make sure that {_gb(LITTLE_MEMORY_BYTES)} are free")
        return
    enough = free >= LITTLE_MEMORY_BYTES
    status = Status.FINE if enough else Status.WARNING if free >= TOO_LITTLE_MEMORY_BYTES else Status.FAILURE
    advice = (
        ""
        if enough
        else f"free memory: a published model needs up to {_gb(LITTLE_MEMORY_BYTES)}, the embedded one half"
    )
    yield Finding("memory", status, f"{_gb(free)} free", advice)


def libopus(settings: Settings) -> Iterator[Finding]:
    encoder = OpusEncoder()
    encoder.encode(np.zeros(encoder.frame_samples, np.float32))
    yield Finding("libopus", Status.FINE, str(find_libopus()))


def weights(settings: Settings) -> Iterator[Finding]:
    """Whether the model's files are on this machine or can be downloaded from the hub."""
    if settings.config is not None and is_remote(settings.config) and cached_copy(settings.config) is None:
        found = f"{settings.config} is not downloaded yet"
        yield Finding("weights", Status.WARNING, found, "it is downloaded when the server starts")
        return
    if settings.config is not None or settings.variant == "embedded":
        yield _configured_weights(settings)
        yield Finding("hub", Status.FINE, "not needed")
        return
    name = DEFAULT_VARIANT if settings.variant == "auto" else catalogue.resolve_variant(settings.variant)
    config = catalogue.variant_config(name)
    if _is_local(config, ""):
        yield Finding("weights", Status.FINE, f"{name}, in the cache {constants.HF_HUB_CACHE}")
        yield Finding("hub", Status.FINE, "not needed")
        return
    obstacle = hub_unavailable_reason(config)
    hub = constants.ENDPOINT
    if not obstacle:
        yield Finding("weights", Status.FINE, f"{name} is not downloaded yet; the server downloads it at startup")
        yield Finding("hub", Status.FINE, f"{hub} provides the weights")
        return
    embedded = settings.variant == "auto"
    consequence = "so the server would use the embedded model" if embedded else "so the server would not start"
    status = Status.WARNING if embedded else Status.FAILURE
    yield Finding(
        "weights",
        status,
        f"{name} is not downloaded, {consequence}",
        "fix the problem with the hub below, or use --variant embedded",
    )
    advice = f"check the connection to {hub} (HTTPS_PROXY, HF_ENDPOINT), accept the model's terms, run `hf auth login`"
    yield Finding("hub", status, obstacle, advice)


def _configured_weights(settings: Settings) -> Finding:
    if settings.config is None:
        checkpoint = find_checkpoint("embedded")
        voices = ", ".join(checkpoint.voices())
        return Finding("weights", Status.FINE, f"embedded, with voices {voices}")
    config = load_config(cached_copy(settings.config) or Path(settings.config).expanduser())
    if _is_local(config, settings.config):
        return Finding("weights", Status.FINE, f"{settings.config}: all files found")
    advice = "check the paths in it; files on the hub or the web are downloaded when the server starts"
    return Finding("weights", Status.WARNING, f"{settings.config} names files that are not on this machine", advice)


def _is_local(config: Config, config_source: str) -> bool:
    sources = [config.weights_path, config.weights_path_without_voice_cloning]
    tokenizer = cached_copy(resolve_relative(config_source, config.flow_lm.lookup_table.tokenizer_path))
    return tokenizer is not None and any(
        cached_copy(resolve_relative(config_source, source)) for source in sources if source
    )


def port(settings: Settings) -> Iterator[Finding]:
    with bind(settings) as listener:
        address = "{}:{}".format(*listener.getsockname()[:2])
    yield Finding("port", Status.FINE, f"{address} is free")


def exposure(settings: Settings) -> Iterator[Finding]:
    settings.check_exposure()
    Authenticator(settings)  # raises if the key file cannot be read
    transport = "over TLS" if make_context(settings) else "without TLS"
    clients = "this machine only" if settings.on_loopback else f"any machine that reaches {settings.host}, {transport}"
    yield Finding("exposure", Status.FINE, f"accepts {clients}")


def folders(settings: Settings) -> Iterator[Finding]:
    """The folders that the server writes to."""
    yield writable("cache", cache_folder(), "XDG_CACHE_HOME")
    yield writable("downloads", Path(constants.HF_HUB_CACHE), "HF_HOME")
    yield writable("data", Path(settings.data).expanduser(), "SAYLINE_DATA")


def writable(topic: str, folder: Path, variable: str) -> Finding:
    """Whether `folder` is writable, or can be created in its closest existing parent."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    advice = f"make {folder} writable for this user, or set {variable} to another folder"
    try:
        if existing == folder:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-"):
                pass
        elif not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
            return Finding(topic, Status.FAILURE, f"cannot create {folder} in {existing}", advice)
    except OSError as error:
        return Finding(topic, Status.FAILURE, f"cannot write to {folder} ({error.strerror})", advice)
    free = shutil.disk_usage(existing).free
    if free < LITTLE_DISK_BYTES:
        return Finding(
            topic,
            Status.WARNING,
            f"{folder}: {_gb(free)} free",
            f"free disk space, or set {variable} to another folder",
        )
    return Finding(topic, Status.FINE, f"{folder}: {_gb(free)} free")


def _gb(size: float) -> str:
    return f"{size / GB:.1f} GB"


CHECKS: tuple[Check, ...] = (processor, cores, memory, libopus, weights, port, exposure, folders)
