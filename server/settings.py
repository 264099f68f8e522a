"""Every setting of the server, from flags and from `SAYLINE_*`. Knows nothing of what is done with them."""

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sayline_tts.engine.errors import InputError
from sayline_tts.server.access import origin


class SettingsError(InputError):
    code = "bad_setting"


def _split(value: Any) -> Any:
    """Lists: separated by commas, or in JSON. A flag may be given many times."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else [value]
    return [part.strip() for each in value for part in str(each).split(",") if part.strip()]


def _origin(value: str) -> str:
    return value if value == origin.ANY else origin.normalise(value)


def _host_name(value: str) -> str:
    if not value or set(value) & set("/:@*"):
        raise ValueError(f"{value} is no name of a host; leave out https:// and the port")
    return value.lower()


Item = TypeVar("Item")
_Listed = Annotated[tuple[Item, ...], NoDecode, BeforeValidator(_split)]
_Origin = Annotated[str, AfterValidator(_origin)]
_HostName = Annotated[str, AfterValidator(_host_name)]


class Settings(BaseSettings):
    """A field `x` is the flag `--x` and the variable `SAYLINE_X`; the flag wins."""

    model_config = SettingsConfigDict(env_prefix="SAYLINE_", frozen=True, extra="forbid", populate_by_name=True)

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("SAYLINE_PORT", "PORT"),  # PORT: how hosting platforms say it
        description="port to listen on; 0 takes a free one",
    )
    variant: str = Field(default="auto", description="published model, embedded, or auto")
    config: str | None = Field(default=None, description="YAML file of a model of your own, path or URL")
    device: str = Field(default="cpu", description="cpu or cuda")
    precision: str = Field(
        default="auto", description="float32, bfloat16, int8, or auto: the fastest here of those that sound alike"
    )
    threads: int = Field(default=1, ge=1, description="threads for one pass of a network")
    slots: int = Field(default=256, ge=1, le=4096, description="contexts that have a place in memory")
    capacity: int = Field(default=0, ge=0, description="contexts that may speak at once; 0: as measured here")
    max_waiting: int = Field(default=64, ge=0, description="contexts that may wait until one of them is silent")
    max_contexts: int = Field(default=16, ge=1, description="open contexts in one session")
    lead_ms: float = Field(
        default=1_000, ge=80, description="audio sent ahead of what was heard, where a client does not ask for another"
    )
    max_lead_ms: float = Field(default=60_000, ge=80, description="the longest lead that a client may ask for")
    max_text_chars: int = Field(default=100_000, ge=100, description="characters that may wait in one context")
    pause_ms: float = Field(default=800, ge=0, description="half a sentence is spoken when its writer pauses so long")
    max_delay_ms: float = Field(
        default=3_000, ge=0, description="half a sentence is spoken so long after its first word at the latest"
    )
    heartbeat_s: float = Field(default=20, gt=0, description="a peer is asked for a sign of life so often")
    api_key: SecretStr | None = Field(default=None, description="what clients must know")
    insecure: int = Field(default=0, ge=0, description="twice: listen beyond this machine without an API key")
    # Sessions: how long they are waited for, and what is kept for them
    max_sessions: int = Field(
        default=1_000, ge=1, description="sessions at once, counting those that wait for a resume"
    )
    resume_s: float = Field(
        default=30, ge=0, description="a session whose connection is lost can be resumed for so long; 0: it cannot"
    )
    resume_mb: float = Field(
        default=1, ge=0, description="audio kept for a resume of one session, counting what is sent"
    )
    slow_consumer_s: float = Field(default=20, gt=0, description="a peer that reads nothing for so long is closed")
    context_idle_s: float = Field(
        default=120, gt=0, description="a context that has nothing to speak and hears nothing for so long expires"
    )
    session_idle_s: float = Field(
        default=1_800, gt=0, description="a session without contexts that hears nothing for so long is closed"
    )
    # Stopping, and being stuck
    drain_s: float = Field(
        default=20, ge=0, description="told to stop, the server lets open contexts go on for so long"
    )
    watchdog_s: float = Field(
        default=60, gt=0, description="a step or a frame that takes longer than this ends the server, with an error"
    )
    # Logs
    log_format: Literal["pretty", "json"] = Field(default="pretty", description="how log lines are written")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="what is less important is not logged"
    )

    # Keys and exposure
    keys_file: str | None = Field(
        default=None, description="what `sayline keys` writes; where it is not given, keys.json in the data folder"
    )
    anonymous_contexts: int = Field(
        default=0, ge=0, description="open contexts of an address without a key, or of the API key; 0: no limit"
    )
    anonymous_chars_per_minute: int = Field(
        default=0, ge=0, description="characters a minute of an address without a key, or of the API key; 0: no limit"
    )
    origins: _Listed[_Origin] = Field(
        default=(), description="sites whose pages may use this server, as https://example.org; `*`: all"
    )
    host_names: _Listed[_HostName] = Field(
        default=(), description="names that this server is asked for by, beside its address and localhost"
    )
    trusted_proxies: _Listed[IPvAnyNetwork] = Field(
        default=(), description="addresses or networks of proxies, whose X-Forwarded-For, -Proto and -Host are believed"
    )
    tls_cert: str | None = Field(default=None, description="PEM file: the certificate, then those that vouch for it")
    tls_key: str | None = Field(default=None, description="PEM file: the certificate's private key, without a password")

    # Voices that people make
    data: str = Field(default="~/.local/share/sayline", min_length=1, description="folder for the voices people make")
    max_upload_mb: float = Field(default=32, gt=0, le=1_024, description="the largest upload of a voice")
    max_stored_voices: int = Field(
        default=100, ge=0, description="voices kept for one key that has no limit of its own, and for all without a key"
    )
    voice_urls: bool | None = Field(
        default=None, description="fetch voices from https:// addresses; without it, only where nobody else can ask"
    )

    # Speech over HTTP
    max_request_chars: int = Field(default=20_000, ge=1, description="characters in the text of one HTTP request")
    http_stall_s: float = Field(
        default=60, gt=0, description="who takes nothing of an HTTP body for so long is cut off"
    )

    @field_validator("api_key")
    @classmethod
    def _no_empty_key(cls, key: SecretStr | None) -> SecretStr | None:
        return key if key is not None and key.get_secret_value() else None

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Flags that are None were not given. Raises `SettingsError`."""
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
            raise SettingsError(f"settings that cannot be used: {'; '.join(faults)}") from None

    @property
    def on_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def exposed(self) -> bool:
        """Beyond this machine: by its own address, or by a proxy."""
        return not self.on_loopback or bool(self.trusted_proxies)

    @property
    def keys_path(self) -> Path:
        return Path(self.keys_file or f"{self.data}/keys.json").expanduser()

    @property
    def voices_path(self) -> Path:
        return Path(self.data).expanduser() / "voices"

    @property
    def max_upload_bytes(self) -> int:
        return round(self.max_upload_mb * 1024 * 1024)

    @property
    def fetches_voice_urls(self) -> bool:
        return not self.exposed if self.voice_urls is None else self.voice_urls

    def check_exposure(self) -> None:
        """Raises `SettingsError` where anybody on the network could use the server, and nobody said so twice."""
        if not self.exposed or self.api_key is not None or self.insecure >= 2 or self.keys_path.exists():
            return
        through = " through a proxy" if self.on_loopback else ""
        raise SettingsError(
            f"{self.host} can be reached from other machines{through}, and there is no API key: make one with "
            "`sayline keys add <name>`, or set SAYLINE_API_KEY to a long random word, or listen on 127.0.0.1 without a "
            "proxy, or say --insecure twice to let everybody in"
        )
